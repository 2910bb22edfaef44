"""Whose messages are next."""

from __future__ import annotations

import pytest

from lambdad.events.schedule import Grant, Limits, Schedule


def make_schedule(per_scope: int = 4, total: int = 6) -> Schedule:
    return Schedule(Limits(per_scope=per_scope, total=total))


def granted(schedule: Schedule, now: float = 0.0) -> dict[str, int]:
    return {grant.scope: grant.count for grant in schedule.grant(now)}


def test_nothing_is_granted_before_it_is_due() -> None:
    schedule = make_schedule()
    schedule.note("a", 5.0)
    schedule.note("a", 7.0)
    assert (granted(schedule, 4.9), schedule.next_due()) == ({}, 5.0)
    assert granted(schedule, 5.0) == {"a": 4}


def test_places_go_to_those_who_have_the_fewest() -> None:
    schedule = make_schedule()
    schedule.note("flood", 0.0)
    assert granted(schedule) == {"flood": 4}
    schedule.leased(Grant("flood", 4), 4, 0.0)
    schedule.note("small", 0.0)
    assert granted(schedule) == {"small": 2}
    schedule.leased(Grant("small", 2), 1, None)
    assert (schedule.running, schedule.running_of("small")) == (5, 1)
    schedule.validate()


def test_a_full_house_waits_for_a_free_place() -> None:
    schedule = make_schedule(2, 2)
    schedule.note("a", 0.0)
    schedule.leased(schedule.grant(0.0)[0], 2, 0.0)
    assert (granted(schedule), schedule.next_due()) == ({}, None)
    schedule.finished("a", refused=False)
    assert schedule.next_due() == 0.0
    assert granted(schedule) == {"a": 1}


def test_refusals_narrow_the_window_and_successes_widen_it() -> None:
    schedule = make_schedule()
    schedule.note("a", 0.0)
    schedule.leased(schedule.grant(0.0)[0], 4, 0.0)
    schedule.finished("a", refused=True)
    assert schedule.window("a") == 2
    schedule.finished("a", refused=True)
    assert schedule.window("a") == 1
    assert granted(schedule) == {}
    schedule.finished("a", refused=False)
    schedule.validate()
    assert schedule.window("a") == 2
    assert granted(schedule) == {"a": 1}


def test_a_scope_without_work_leaves_no_trace() -> None:
    schedule = make_schedule()
    schedule.note("a", 0.0)
    schedule.leased(schedule.grant(0.0)[0], 1, None)
    schedule.finished("a", refused=True)
    assert schedule.window("a") == 4
    assert schedule.next_due() is None
    schedule.validate()


def test_limits_that_make_no_sense_are_refused() -> None:
    for per_scope, total in ((0, 1), (2, 1)):
        with pytest.raises(ValueError, match="limits"):
            Limits(per_scope=per_scope, total=total)
