"""Requests that find no room wait for a moment, each function in a queue of its own."""

from __future__ import annotations

import pytest
from tests.unit.placement.requests import Request, placement, start_of

from lambdad.model.errors import ApiError
from lambdad.placement.counting import Limits
from lambdad.placement.ledger import CROWDED, Ledger, function_key
from lambdad.placement.pool import Assign, Effect, Reject
from lambdad.placement.provisioned import Plan
from lambdad.placement.state import EXPIRED_AT_ONCE, PlacementState
from lambdad.testing.specs import HERE, make_spec

PATIENCE = 0.05


def busy_state(width: int = 1) -> tuple[PlacementState, list[str]]:
    """A state at its limit, with the environments that are busy."""
    state = placement(width, patience=PATIENCE, held_max=3)
    names = [start_of(state.submit(Request(), 0.0)) for _ in range(width)]
    for name in names:
        state.started(name, 0.0)
    return state, names


def demand_of(effects: list[Effect]) -> Request:
    """Whom the only effect is for."""
    [effect] = effects
    assert isinstance(effect, Assign | Reject)
    assert isinstance(effect.demand, Request)
    return effect.demand


def test_a_request_waits_for_room_and_gets_it() -> None:
    state, [name] = busy_state()
    request = Request()
    assert state.submit(request, 0.01) == []
    assert state.alarm == pytest.approx(0.06)
    assert state.settled(name, 0.02) == [Assign(name, request, cold=False)]
    state.validate()


def test_a_request_that_waited_in_vain_is_throttled_with_the_reason() -> None:
    state, _ = busy_state()
    request = Request()
    state.submit(request, 0.01)
    assert state.tick(0.05) == []
    [reject] = state.tick(0.07)
    assert isinstance(reject, Reject)
    assert (reject.demand, reject.error.status) == (request, 429)
    assert reject.error.members["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert reject.error.headers["Retry-After"] == "1"
    assert state.alarm is None
    state.validate()


def test_so_many_wait_and_no_more() -> None:
    state, _ = busy_state()
    for _ in range(3):
        state.submit(Request(), 0.0)
    with pytest.raises(ApiError):
        state.submit(Request(), 0.0)
    state.validate()


def test_an_event_does_not_wait_its_queue_keeps_it() -> None:
    state, _ = busy_state()
    with pytest.raises(ApiError):
        state.submit(Request(is_event=True), 0.0)


def test_functions_get_room_in_turns_however_many_of_one_wait() -> None:
    state, [name] = busy_state()
    flood = [Request() for _ in range(3)]
    for request in flood:
        state.submit(request, 0.0)
    other = Request(make_spec(function_name="g"))
    state.submit(other, 0.0)
    assert demand_of(state.settled(name, 0.0)) is flood[0]
    effects = state.settled(name, 0.0)
    second = start_of(effects)
    assert demand_of(state.started(second, 0.0)) is other
    assert demand_of(state.settled(second, 0.0)) is flood[1]
    state.validate()


def test_a_reservation_that_is_lifted_lets_in_who_waits() -> None:
    state = placement(10, patience=PATIENCE)
    state.configure(Plan(reservations={(HERE, "f"): 1}), 0.0)
    state.submit(Request(), 0.0)
    state.submit(Request(), 0.0)
    start_of(state.configure(Plan(reservations={}), 0.0))
    state.validate()


def test_a_ledger_forgets_functions_of_which_nothing_is_left() -> None:
    ledger = Ledger(Limits())
    ledger.reserve({(HERE, "f"): 3})
    assert [function.key for function in ledger.functions()] == [function_key(HERE, "f")]
    ledger.reserve({})
    assert list(ledger.functions()) == []
    ledger.validate()


def test_whoever_is_too_fast_waits_as_well_and_is_served_when_the_rate_allows_it() -> None:
    state = placement(10, patience=PATIENCE, request_rate=10)
    state.configure(Plan(reservations={(HERE, "f"): 2}), 0.0)
    name = start_of(state.submit(Request(), 0.0))
    state.started(name, 0.0)
    state.settled(name, 0.0)
    for _ in range(19):
        state.submit(Request(), 0.0)
        state.settled(name, 0.0)
    late = Request()
    assert state.submit(late, 0.0) == []
    [assign] = state.tick(PATIENCE)
    assert isinstance(assign, Assign)
    assert assign.demand is late
    state.validate()


def test_a_flood_is_throttled_in_small_bites() -> None:
    state = placement(1, patience=PATIENCE, held_max=100)
    state.started(start_of(state.submit(Request(), 0.0)), 0.0)
    for _ in range(EXPIRED_AT_ONCE + 1):
        state.submit(Request(), 0.0)
    assert len(state.tick(1.0)) == EXPIRED_AT_ONCE
    assert state.alarm is not None
    assert len(state.tick(1.0)) == 1
    assert state.alarm is None


def test_a_crowd_that_came_at_once_is_not_given_up_at_once_and_in_the_end_all_of_it_is() -> None:
    state = placement(1, patience=PATIENCE, held_max=100)
    state.started(start_of(state.submit(Request(), 0.0)), 0.0)
    for _ in range(100):
        state.submit(Request(), 0.0)
    now, refused, most = 0.0, 0, 0
    while state.alarm is not None:
        assert state.alarm >= now
        now = state.alarm
        effects = state.tick(now)
        refused, most = refused + len(effects), max(most, len(effects))
    assert (refused, most) == (100, 1)
    assert PATIENCE < now <= PATIENCE * (1 + CROWDED)
