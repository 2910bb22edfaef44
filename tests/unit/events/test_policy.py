"""What becomes of an event, decision by decision."""

from __future__ import annotations

import pytest

from lambdad.events.policy import (
    Condition,
    GiveUp,
    Progress,
    Rules,
    Timing,
    TryLater,
    after_function_error,
    after_refusal,
    before_attempt,
)

NOW = 1_000.0
FRESH = Progress(accepted=NOW)


def test_function_errors_are_retried_after_one_minute_then_two() -> None:
    first = after_function_error(FRESH, Rules(), Timing(), NOW)
    assert first == TryLater(NOW + 60, Progress(accepted=NOW, attempts=1))
    assert isinstance(first, TryLater)
    second = after_function_error(first.progress, Rules(), Timing(), NOW + 60)
    assert second == TryLater(NOW + 180, Progress(accepted=NOW, attempts=2))
    assert isinstance(second, TryLater)
    assert after_function_error(second.progress, Rules(), Timing(), NOW + 180) == GiveUp(Condition.RETRIES_EXHAUSTED)


@pytest.mark.parametrize(("retries", "attempts"), [(0, 0), (1, 1), (2, 2)])
def test_the_configured_retries_are_the_last(retries: int, attempts: int) -> None:
    progress = Progress(accepted=NOW, attempts=attempts)
    decision = after_function_error(progress, Rules(maximum_retries=retries), Timing(), NOW)
    assert decision == GiveUp(Condition.RETRIES_EXHAUSTED)


def test_refusals_double_their_delay_up_to_five_minutes_and_cost_no_attempt() -> None:
    progress, delays = FRESH, []
    for _ in range(11):
        decision = after_refusal(progress, Rules(), Timing(), NOW)
        assert isinstance(decision, TryLater)
        delays.append(decision.due - NOW)
        progress = decision.progress
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert (progress.attempts, progress.refusals) == (0, 11)


def test_a_function_that_ran_starts_its_refusals_anew() -> None:
    decision = after_function_error(Progress(accepted=NOW, refusals=5), Rules(), Timing(), NOW)
    assert isinstance(decision, TryLater)
    assert decision.progress.refusals == 0


def test_an_event_wakes_at_its_end_at_the_latest() -> None:
    rules = Rules(maximum_age=90)
    decision = after_function_error(Progress(accepted=NOW, attempts=1), rules, Timing(), NOW + 60)
    assert isinstance(decision, TryLater)
    assert decision.due == NOW + 90
    assert before_attempt(decision.progress, rules, None, NOW + 90) == GiveUp(Condition.EVENT_AGE_EXCEEDED)
    assert after_refusal(FRESH, rules, Timing(), NOW + 90) == GiveUp(Condition.EVENT_AGE_EXCEEDED)


def test_an_event_may_run_until_its_age_or_a_reservation_of_zero_forbids_it() -> None:
    assert before_attempt(FRESH, Rules(), None, NOW + 21_599) is None
    assert before_attempt(FRESH, Rules(), 5, NOW) is None
    assert before_attempt(FRESH, Rules(), None, NOW + 21_600) == GiveUp(Condition.EVENT_AGE_EXCEEDED)
    assert before_attempt(FRESH, Rules(), 0, NOW) == GiveUp(Condition.ZERO_RESERVED_CONCURRENCY)


def test_delays_that_make_no_sense_are_refused() -> None:
    for bad in ({"retry_delays": ()}, {"retry_delays": (-1.0,)}, {"backoff_first": 0.0}, {"backoff_max": 0.5}):
        with pytest.raises(ValueError, match="delays"):
            Timing(**bad)  # type: ignore[arg-type]
    assert Timing(retry_delays=(1.0, 400.0)).longest == 400.0
