"""Placement: who runs what, and how many."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.placement.requests import SPEC, Request, placement, start_of

from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError, service_error
from lambdad.placement.pool import Assign, Reject, Start, Stop
from lambdad.placement.provisioned import Plan
from lambdad.placement.state import ATTEMPTS_MAX, PlacementState
from lambdad.placement.view import count_environments
from lambdad.testing.specs import HERE, make_spec


def in_flight(state: PlacementState) -> int:
    return sum(account.in_flight for _, account in state.ledger.accounts())


def test_a_first_request_starts_an_environment_and_gets_it() -> None:
    state = placement(10)
    request = Request()
    environment = start_of(state.submit(request, 0.0))
    assert state.started(environment, 0.0) == [Assign(environment, request, cold=True)]


def test_the_environment_that_was_used_last_is_used_next() -> None:
    state = placement(10)
    names = []
    for _ in range(2):
        names.append(start_of(state.submit(Request(), 0.0)))
    for name in names:
        state.started(name, 0.0)
    state.settled(names[1], 0.0)
    state.settled(names[0], 0.0)
    [assign] = state.submit(Request(), 0.0)
    assert isinstance(assign, Assign)
    assert (assign.environment, assign.cold) == (names[0], False)


def test_a_request_that_waits_takes_whatever_is_free_first() -> None:
    state = placement(10)
    first = start_of(state.submit(Request(), 0.0))
    state.started(first, 0.0)
    waiting = Request()
    second = start_of(state.submit(waiting, 0.0))
    assert state.settled(first, 0.0) == [Assign(first, waiting, cold=False)]
    assert state.started(second, 0.0) == []
    assert count_environments(state) == {"idle": 1, "busy": 1, "starting": 0, "waiting": 0}


def test_two_specs_never_share_an_environment() -> None:
    state = placement(10)
    state.started(start_of(state.submit(Request(), 0.0)), 0.0)
    other = replace(SPEC, revision="2")
    assert isinstance(state.submit(Request(other), 0.0)[0], Start)


def test_the_account_limit_throttles_with_its_reason() -> None:
    state = placement(1)
    state.submit(Request(), 0.0)
    with pytest.raises(ApiError) as caught:
        state.submit(Request(), 0.0)
    assert caught.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"


def reserve(state: PlacementState, **amounts: int) -> None:
    """Reserve for functions by name; all others have nothing reserved."""
    assert state.configure(Plan(reservations={(HERE, name): amount for name, amount in amounts.items()}), 0.0) == []


def reason_of(state: PlacementState, request: Request, now: float = 0.0) -> str:
    """Why the request is throttled at once."""
    with pytest.raises(ApiError) as caught:
        state.submit(request, now)
    assert caught.value.status == 429
    state.validate()
    return caught.value.members["Reason"]


def test_a_reservation_is_a_cap_of_its_own() -> None:
    state = placement(10)
    reserve(state, f=1)
    state.submit(Request(), 0.0)
    assert reason_of(state, Request()) == "ReservedFunctionConcurrentInvocationLimitExceeded"
    reserve(state, f=0)
    assert reason_of(state, Request()) == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_what_some_have_reserved_is_not_there_for_the_others() -> None:
    state = placement(3)
    reserve(state, g=2)
    state.submit(Request(), 0.0)
    assert reason_of(state, Request()) == "ConcurrentInvocationLimitExceeded"
    for _ in range(2):
        state.submit(Request(make_spec(function_name="g")), 0.0)


def test_accounts_and_regions_do_not_share_their_limits() -> None:
    state = placement(1)
    state.submit(Request(), 0.0)
    for namespace in (Namespace("1" * 12, "us-east-1"), Namespace("000000000000", "eu-west-1")):
        state.submit(Request(make_spec(namespace=namespace)), 0.0)


def test_a_reservation_that_comes_late_does_not_lift_the_account_over_its_limit() -> None:
    state = placement(3)
    for _ in range(3):
        state.submit(Request(), 0.0)
    reserve(state, g=2)
    assert reason_of(state, Request(make_spec(function_name="g"))) == "ConcurrentInvocationLimitExceeded"


def test_a_reservation_of_n_takes_ten_n_requests_a_second_and_no_more() -> None:
    state = placement(10, request_rate=10)
    reserve(state, f=1)
    state.started(start_of(state.submit(Request(), 0.0)), 0.0)
    state.settled("e1", 0.0)
    for _ in range(9):
        state.submit(Request(), 0.0)
        state.settled("e1", 0.0)
    assert reason_of(state, Request()) == "ReservedFunctionInvocationRateLimitExceeded"
    state.submit(Request(is_event=True), 0.0)
    state.settled("e1", 0.0)
    assert isinstance(state.submit(Request(), 0.1)[0], Assign)


def test_an_account_has_a_rate_of_its_own() -> None:
    state = placement(1, request_rate=1)
    state.started(start_of(state.submit(Request(), 0.0)), 0.0)
    state.settled("e1", 0.0)
    assert reason_of(state, Request()) == "CallerRateLimitExceeded"
    assert isinstance(state.submit(Request(), 1.0)[0], Assign)


def test_a_function_grows_only_so_fast_and_uses_what_it_has() -> None:
    state = placement(10, scale_up=2, scale_window=10.0)
    names = [start_of(state.submit(Request(), 0.0)) for _ in range(2)]
    assert reason_of(state, Request()) == "FunctionInvocationRateLimitExceeded"
    state.submit(Request(make_spec(function_name="g")), 0.0)
    for name in names:
        state.started(name, 0.0)
    for name in names:
        state.settled(name, 0.0)
    assert isinstance(state.submit(Request(), 0.0)[0], Assign)
    assert isinstance(state.submit(Request(), 0.0)[0], Assign)
    start_of(state.submit(Request(), 5.0))


def test_a_request_whose_environment_vanishes_is_placed_again_and_in_the_end_refused() -> None:
    state = placement(10)
    request = Request()
    environment = start_of(state.submit(request, 0.0))
    state.started(environment, 0.0)
    for _ in range(ATTEMPTS_MAX - 1):
        environment = start_of(state.vanished(environment, 0.0))
        state.started(environment, 0.0)
    [reject] = state.vanished(environment, 0.0)
    assert isinstance(reject, Reject)
    assert reject.error.code == "ServiceException"
    assert in_flight(state) == 0


def test_a_start_that_fails_takes_one_request_with_it() -> None:
    state = placement(10)
    first, second = Request(), Request()
    names = [start_of(state.submit(first, 0.0)), start_of(state.submit(second, 0.0))]
    error = service_error("no room")
    assert state.start_failed(names[0], error, None, 0.0) == [Reject(first, error)]
    assert state.started(names[1], 0.0) == [Assign(names[1], second, cold=True)]


def test_a_retired_spec_loses_its_idle_environments_now_and_the_others_when_they_are_free() -> None:
    state = placement(10)
    names = [start_of(state.submit(Request(), 0.0)) for _ in range(2)]
    for name in names:
        state.started(name, 0.0)
    state.settled(names[0], 0.0)
    assert state.retire(SPEC.key) == [Stop(names[0])]
    assert state.settled(names[1], 0.0) == [Stop(names[1])]
    assert state.spec_keys() == []


def test_losing_the_worker_fails_what_waits_and_forgets_everything() -> None:
    state = placement(10)
    busy, waiting = Request(), Request()
    environment = start_of(state.submit(busy, 0.0))
    state.started(environment, 0.0)
    state.submit(waiting, 0.0)
    error = service_error("lost")
    assert state.worker_lost(error, 0.0) == [Reject(waiting, error)]
    assert state.settled(environment, 0.0) == []
    assert in_flight(state) == 0
    state.validate()
