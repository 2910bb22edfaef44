"""Environments of one spec by what they do."""

from __future__ import annotations

from tests.unit.placement.requests import SPEC, Request

from lambdad.placement.counting import AccountCount, FunctionCount, Limits
from lambdad.placement.pool import RETRY_FIRST_S, RETRY_LAST_S, Function, Pool, Reserve


def make_pool() -> Pool:
    function: Function = FunctionCount(AccountCount(Limits()), "a/r/f", Limits())
    return Pool(key=SPEC.key, function=function)


def make_reserve() -> Reserve:
    pool = make_pool()
    return Reserve(function=pool.function, pool=pool, spec=SPEC, qualifier="live", wanted=2)


def test_the_environment_that_became_idle_last_is_taken_first_and_is_cold_only_once() -> None:
    pool = make_pool()
    pool.idle += ["a", "b"]
    pool.fresh.add("b")
    assert pool.take(Request()).cold
    pool.idle.append("b")
    del pool.busy["b"]
    taken = pool.take(Request())
    assert (taken.environment, taken.cold) == ("b", False)


def test_what_ends_unused_is_forgotten_wherever_it_was() -> None:
    pool = make_pool()
    pool.idle.append("a")
    pool.fresh.add("a")
    pool.starting.add("b")
    for name in ("a", "b", "never"):
        pool.remove_unused(name)
    assert pool.is_empty
    assert not pool.fresh


def test_a_start_is_needed_unless_one_more_is_under_way_than_requests_wait() -> None:
    pool = make_pool()
    assert pool.needs_start
    pool.starting.add("a")
    assert not pool.needs_start
    pool.waiting.append(Request())
    assert pool.needs_start


def test_failures_are_tried_again_later_and_later_but_not_later_than_that() -> None:
    reserve = make_reserve()
    now, waits = 0.0, []
    for _ in range(10):
        reserve.failed("broken", now)
        reserve.failed(None, now)
        assert reserve.retry_at is not None
        waits.append(reserve.retry_at - now)
        now, reserve.retry_at = reserve.retry_at, None
    assert waits[:3] == [RETRY_FIRST_S, 2 * RETRY_FIRST_S, 4 * RETRY_FIRST_S]
    assert waits[-1] == RETRY_LAST_S
    assert reserve.problem == "broken"
    reserve.forgive()
    assert (reserve.problem, reserve.retry_at, reserve.retry_after) == (None, None, RETRY_FIRST_S)
