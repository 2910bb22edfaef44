"""Placement: who runs what, and how many."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, service_error
from lambdad.placement.state import ATTEMPTS_MAX, Assign, Effect, PlacementState, Reject, Start, Stop

SPEC = EnvironmentSpec(
    namespace=Namespace("000000000000", "us-east-1"),
    function_name="f",
    version="$LATEST",
    revision="1",
    runtime="python3.11",
    handler="app.handler",
    memory_mb=128,
    timeout_s=3,
    ephemeral_mb=512,
    architecture="x86_64",
    environment={},
    code=None,
)


@dataclass(slots=True, eq=False)
class Request:
    spec: EnvironmentSpec = SPEC
    attempts: int = 0
    reserved: int | None = None


def start_of(effects: list[Effect]) -> str:
    [start] = effects
    assert isinstance(start, Start)
    return start.environment


def test_a_first_request_starts_an_environment_and_gets_it() -> None:
    state = PlacementState(10)
    request = Request()
    environment = start_of(state.submit(request))
    assert state.started(environment) == [Assign(environment, request, cold=True)]


def test_the_environment_that_was_used_last_is_used_next() -> None:
    state = PlacementState(10)
    names = []
    for _ in range(2):
        names.append(start_of(state.submit(Request())))
    for name in names:
        state.started(name)
    state.settled(names[1])
    state.settled(names[0])
    [assign] = state.submit(Request())
    assert isinstance(assign, Assign)
    assert (assign.environment, assign.cold) == (names[0], False)


def test_a_request_that_waits_takes_whatever_is_free_first() -> None:
    state = PlacementState(10)
    first = start_of(state.submit(Request()))
    state.started(first)
    waiting = Request()
    second = start_of(state.submit(waiting))
    assert state.settled(first) == [Assign(first, waiting, cold=False)]
    assert state.started(second) == []
    assert state.counts() == {"idle": 1, "busy": 1, "starting": 0, "waiting": 0}


def test_two_specs_never_share_an_environment() -> None:
    state = PlacementState(10)
    state.started(start_of(state.submit(Request())))
    other = replace(SPEC, revision="2")
    assert isinstance(state.submit(Request(other))[0], Start)


def test_the_account_limit_throttles_with_its_reason() -> None:
    state = PlacementState(1)
    state.submit(Request())
    with pytest.raises(ApiError) as caught:
        state.submit(Request())
    assert caught.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"


def test_a_reservation_is_a_cap_of_its_own() -> None:
    state = PlacementState(10)
    state.submit(Request(reserved=1))
    with pytest.raises(ApiError) as caught:
        state.submit(Request(reserved=1))
    assert caught.value.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    with pytest.raises(ApiError):
        PlacementState(10).submit(Request(reserved=0))


def test_what_some_have_reserved_is_not_there_for_the_others() -> None:
    state = PlacementState(3)
    state.set_reservations({SPEC.namespace: 2})
    state.submit(Request())
    with pytest.raises(ApiError) as caught:
        state.submit(Request())
    assert caught.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
    for _ in range(2):
        state.submit(Request(replace(SPEC, function_name="g"), reserved=2))


def test_a_request_whose_environment_vanishes_is_placed_again_and_in_the_end_refused() -> None:
    state = PlacementState(10)
    request = Request()
    environment = start_of(state.submit(request))
    state.started(environment)
    for _ in range(ATTEMPTS_MAX - 1):
        environment = start_of(state.vanished(environment))
        state.started(environment)
    [reject] = state.vanished(environment)
    assert isinstance(reject, Reject)
    assert reject.error.code == "ServiceException"
    assert state.in_flight("000000000000/us-east-1") == 0


def test_a_start_that_fails_takes_one_request_with_it() -> None:
    state = PlacementState(10)
    first, second = Request(), Request()
    names = [start_of(state.submit(first)), start_of(state.submit(second))]
    error = service_error("no room")
    assert state.start_failed(names[0], error) == [Reject(first, error)]
    assert state.started(names[1]) == [Assign(names[1], second, cold=True)]


def test_a_retired_spec_loses_its_idle_environments_now_and_the_others_when_they_are_free() -> None:
    state = PlacementState(10)
    names = [start_of(state.submit(Request())) for _ in range(2)]
    for name in names:
        state.started(name)
    state.settled(names[0])
    assert state.retire(SPEC.key) == [Stop(names[0])]
    assert state.settled(names[1]) == [Stop(names[1])]
    assert state.keys() == []


def test_losing_the_worker_fails_what_waits_and_forgets_everything() -> None:
    state = PlacementState(10)
    busy, waiting = Request(), Request()
    environment = start_of(state.submit(busy))
    state.started(environment)
    state.submit(waiting)
    error = service_error("lost")
    assert state.worker_lost(error) == [Reject(waiting, error)]
    assert state.settled(environment) == []
    assert state.in_flight("000000000000/us-east-1") == 0
    state.validate()


class PlacementMachine(RuleBasedStateMachine):
    """Any order of events: counts hold, every accepted request is assigned or refused, none twice at once."""

    def __init__(self) -> None:
        super().__init__()
        self.state = PlacementState(6)
        self.state.set_reservations({SPEC.namespace: 2})
        self.starting: set[str] = set()
        self.busy: dict[str, Request] = {}
        self.idle: set[str] = set()
        self.open: set[int] = set()
        self.requests: dict[int, Request] = {}

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start():
                    self.starting.add(effect.environment)
                case Assign():
                    assert effect.environment not in self.busy
                    assert isinstance(effect.demand, Request)
                    self.starting.discard(effect.environment)
                    self.idle.discard(effect.environment)
                    self.busy[effect.environment] = effect.demand
                case Stop():
                    self.idle.discard(effect.environment)
                case Reject():
                    assert isinstance(effect.demand, Request)
                    self.open.remove(id(effect.demand))

    def pick(self, names: set[str] | dict[str, Request], number: int) -> str | None:
        ordered = sorted(names)
        return ordered[number % len(ordered)] if ordered else None

    @rule(revision=st.integers(1, 2), reserved=st.sampled_from([None, 2]))
    def submit(self, revision: int, reserved: int | None) -> None:
        name = "g" if reserved else "f"
        request = Request(replace(SPEC, revision=str(revision), function_name=name), 0, reserved)
        try:
            effects = self.state.submit(request)
        except ApiError:
            return
        self.requests[id(request)] = request
        self.open.add(id(request))
        self.take(effects)

    @rule(number=st.integers(0, 99))
    def started(self, number: int) -> None:
        name = self.pick(self.starting, number)
        if name is not None:
            self.starting.discard(name)
            self.idle.add(name)
            self.take(self.state.started(name))

    @rule(number=st.integers(0, 99))
    def start_failed(self, number: int) -> None:
        name = self.pick(self.starting, number)
        if name is not None:
            self.starting.discard(name)
            self.take(self.state.start_failed(name, service_error("no room")))

    @rule(number=st.integers(0, 99))
    def settled(self, number: int) -> None:
        name = self.pick(self.busy, number)
        if name is not None:
            self.open.remove(id(self.busy.pop(name)))
            self.idle.add(name)
            self.take(self.state.settled(name))

    @rule(number=st.integers(0, 99))
    def vanished(self, number: int) -> None:
        name = self.pick(self.busy, number)
        if name is not None:
            del self.busy[name]
            self.take(self.state.vanished(name))

    @rule(number=st.integers(0, 99))
    def gone(self, number: int) -> None:
        name = self.pick(self.idle, number)
        if name is not None:
            self.idle.discard(name)
            self.take(self.state.gone(name))

    @rule(revision=st.integers(1, 2))
    def retire(self, revision: int) -> None:
        self.take(self.state.retire(replace(SPEC, revision=str(revision)).key))

    @rule()
    def worker_lost(self) -> None:
        for request in self.busy.values():
            self.open.remove(id(request))
        self.busy.clear()
        self.idle.clear()
        self.starting.clear()
        self.take(self.state.worker_lost(service_error("lost")))
        assert not self.open

    @invariant()
    def holds(self) -> None:
        self.state.validate()
        unreserved = self.state.in_flight("000000000000/us-east-1")
        reserved = self.state.in_flight("000000000000/us-east-1/g")
        assert unreserved + reserved == len(self.open)
        assert unreserved <= 4
        assert reserved <= 2


PlacementMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPlacement = PlacementMachine.TestCase
