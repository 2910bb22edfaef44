"""Environments that are initialised ahead for whoever comes first: SnapStart where there is no snapshot."""

from __future__ import annotations

from tests.unit.placement.requests import Request, placement, start_of, starts_of

from lambdad.model.errors import service_error
from lambdad.placement.pool import AHEAD, RETRY_LAST_S, Assign, Stop
from lambdad.placement.provisioned import INIT_FAILED, Plan, Provision
from lambdad.placement.state import PlacementState
from lambdad.placement.view import describe_provisioning, read_use
from lambdad.testing.specs import HERE, make_spec

ONE = make_spec(version="1")
ERROR = service_error("no room")
WANTED = Provision(spec=make_spec(version="1", ahead=True), qualifier=AHEAD, count=1, revision=0.0)
PLAN = Plan(reservations={}, provisions=(WANTED,))
NOTHING = Plan(reservations={})


def waiting_ahead(concurrency: int = 10) -> tuple[PlacementState, str]:
    """A state with one environment that waits for its first call."""
    state = placement(concurrency)
    name = start_of(state.configure(PLAN, 0.0))
    assert state.started(name, 0.0) == []
    state.validate()
    return state, name


def test_the_first_request_takes_it_and_another_one_is_made_ready() -> None:
    state, name = waiting_ahead()
    assigned, *rest = state.submit(Request(ONE), 1.0)
    assert isinstance(assigned, Assign)
    assert (assigned.environment, assigned.cold) == (name, False)
    second = start_of(rest)
    state.validate()
    assert state.started(second, 1.5) == []
    assert state.settled(name, 2.0) == []
    [again] = state.submit(Request(ONE), 3.0)
    assert isinstance(again, Assign)
    assert again.environment == name, "what was used already comes first, and nothing more is started"
    state.validate()


def test_it_is_no_room_of_its_own() -> None:
    state, _ = waiting_ahead(concurrency=1)
    assert read_use(state).provisioned == ()
    assert describe_provisioning(state, HERE, "f", AHEAD).status == "IN_PROGRESS", "nobody has asked for any"
    assert isinstance(state.submit(Request(ONE), 1.0)[0], Assign)
    state.validate()


def test_a_burst_has_what_is_being_made_ready_too() -> None:
    state, _ = waiting_ahead()
    ahead, request = start_of(state.submit(Request(ONE), 1.0)[1:]), Request(ONE)
    own = start_of(state.submit(request, 1.1))
    given, *following = state.started(ahead, 1.2)
    assert isinstance(given, Assign)
    assert (given.environment, given.demand) == (ahead, request)
    assert len(starts_of(following)) == 1
    assert state.started(own, 1.3) == []
    state.validate()


def test_one_that_the_host_has_ended_is_made_again_in_a_while() -> None:
    state, name = waiting_ahead()
    assert state.gone(name, 1.0) == []
    assert state.alarm == 1.0 + RETRY_LAST_S
    assert len(starts_of(state.tick(1.0 + RETRY_LAST_S))) == 1
    state.validate()


def test_an_init_phase_that_fails_is_tried_again_later_and_requests_start_their_own() -> None:
    state = placement()
    state.start_failed(start_of(state.configure(PLAN, 0.0)), ERROR, INIT_FAILED, 0.0)
    assert state.alarm == 1.0
    assert len(starts_of(state.submit(Request(ONE), 0.5))) == 1
    state.validate()


def test_a_version_that_is_gone_has_none() -> None:
    state, name = waiting_ahead()
    assert state.configure(NOTHING, 1.0) == [Stop(name)]
    state.validate()
    assert state.spec_keys() == []


def test_a_worker_that_comes_back_has_it_again() -> None:
    state, _ = waiting_ahead()
    state.worker_lost(ERROR, 1.0)
    assert len(starts_of(state.worker_ready(1.5))) == 1
    state.validate()
