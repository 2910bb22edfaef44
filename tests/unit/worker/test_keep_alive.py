"""How long functions are kept, by their habits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.worker.keep_alive import FUNCTIONS_MAX, LONGEST, SAMPLES_MIN, Habit, Habits

CONFIGURED = 600.0


def habit_of(*pauses: float) -> Habit:
    """A function that was called after each of these pauses, in seconds."""
    habit, now = Habit(), 0.0
    for pause in pauses:
        habit.finished(now)
        now += pause
        habit.called(now)
    return habit


def test_a_function_that_is_called_every_half_an_hour_is_kept_for_longer() -> None:
    habit = habit_of(*[1800.0] * SAMPLES_MIN)
    assert 1800 < habit.keep_s(CONFIGURED) < 2100


def test_nothing_is_concluded_from_a_few_calls() -> None:
    assert habit_of(*[1800.0] * (SAMPLES_MIN - 1)).keep_s(CONFIGURED) == CONFIGURED


def test_a_busy_function_is_kept_for_the_configured_time() -> None:
    assert habit_of(*[0.01] * 1000).keep_s(CONFIGURED) == CONFIGURED


def test_a_function_that_is_called_once_a_day_is_not_kept_for_a_day() -> None:
    assert habit_of(*[86400.0] * 50).keep_s(CONFIGURED) == CONFIGURED


def test_overlapping_calls_have_no_pause_between_them() -> None:
    habit = Habit()
    for _ in range(SAMPLES_MIN * 2):
        habit.called(0.0)
    assert habit.keep_s(CONFIGURED) == CONFIGURED


@given(st.lists(st.floats(-10, 1e6), max_size=60), st.floats(1, 1e4))
def test_it_is_never_less_than_configured_nor_more_than_so_many_times_that(
    pauses: list[float], configured: float
) -> None:
    assert configured <= habit_of(*pauses).keep_s(configured) <= LONGEST * configured


def test_only_the_functions_that_were_called_last_are_remembered() -> None:
    habits = Habits()
    first = habits.of("first")
    assert habits.of("first") is first
    for number in range(FUNCTIONS_MAX):
        habits.of(str(number))
    assert habits.of("first") is not first
