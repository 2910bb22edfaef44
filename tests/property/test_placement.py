"""Counting and placement in any order of events, in virtual time.

A model of requests, environments and configuration is driven beside the real state. After every step: nothing is above
its limit, nothing is negative, provisioned, reserved and unreserved add up, and every request is settled once.
`LAMBDAD_PLACEMENT_STEPS` makes the long walk longer.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.unit.placement.requests import Request

from lambdad.model.errors import ApiError, service_error
from lambdad.placement.counting import Charge, Limits
from lambdad.placement.pool import AHEAD, Assign, Effect, Reject, Start, Stop
from lambdad.placement.provisioned import Plan, Provision
from lambdad.placement.state import PlacementState
from lambdad.testing.specs import HERE, make_spec

ACCOUNT_LIMIT = 8
ERROR = service_error("no room")
SPECS = [make_spec(function_name=name, version=version) for name in "fgh" for version in ("1", "2")]
STEPS = int(os.environ.get("LAMBDAD_PLACEMENT_STEPS", "40000"))


@dataclass(slots=True)
class Model:
    """The world around placement: performs its effects, and checks them."""

    state: PlacementState = field(
        default_factory=lambda: PlacementState(
            Limits(concurrency=ACCOUNT_LIMIT, request_rate=2, scale_up=5, scale_window=10.0, patience=0.05, held_max=3)
        )
    )
    now: float = 0.0
    reservations: dict[str, int] = field(default_factory=dict)
    provisions: dict[tuple[str, str], Provision] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)
    idle: set[str] = field(default_factory=set)
    busy: dict[str, Request] = field(default_factory=dict)
    open: set[Request] = field(default_factory=set)
    submitted: int = 0
    answered: int = 0
    refused: int = 0

    # -- the world's events

    def submit(self, spec: int, qualifier: str | None, is_event: bool) -> None:
        request = Request(SPECS[spec % len(SPECS)], qualifier, is_event)
        self.submitted += 1
        self.open.add(request)
        try:
            self.perform(self.state.submit(request, self.now))
        except ApiError as error:
            assert error.status == 429
            self.refuse(request)

    def started(self, number: int) -> None:
        name = pick(self.starting, number)
        if name is not None:
            self.starting.discard(name)
            self.idle.add(name)
            self.perform(self.state.started(name, self.now))

    def start_failed(self, number: int) -> None:
        name = pick(self.starting, number)
        if name is not None:
            self.starting.discard(name)
            self.perform(self.state.start_failed(name, ERROR, "broken", self.now))

    def settled(self, number: int) -> None:
        name = pick(self.busy, number)
        if name is not None:
            self.open.remove(self.busy.pop(name))
            self.answered += 1
            self.idle.add(name)
            self.perform(self.state.settled(name, self.now))

    def vanished(self, number: int) -> None:
        name = pick(self.busy, number)
        if name is not None:
            del self.busy[name]
            self.perform(self.state.vanished(name, self.now))

    def gone(self, number: int) -> None:
        name = pick(self.idle | self.starting, number)
        if name is not None:
            self.idle.discard(name)
            self.starting.discard(name)
            self.perform(self.state.gone(name, self.now))

    def worker_lost(self) -> None:
        for request in self.busy.values():
            self.open.remove(request)
            self.answered += 1
        self.busy.clear()
        self.idle.clear()
        self.starting.clear()
        self.perform(self.state.worker_lost(ERROR, self.now))

    def worker_ready(self) -> None:
        self.perform(self.state.worker_ready(self.now))

    def retire(self, spec: int) -> None:
        self.perform(self.state.retire(SPECS[spec % len(SPECS)].key))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.state.alarm is not None and self.state.alarm <= self.now:
            self.perform(self.state.tick(self.now))

    def configure(self, name: str, reserved: int | None, version: int, count: int, *, ahead: bool) -> None:
        """Change one function. As the control plane does, nothing is provisioned beyond the reservation.

        ahead: whether an environment is initialised ahead of anybody's call.
        """
        self.reservations.pop(name, None)
        if reserved is not None and sum(self.reservations.values()) + reserved < ACCOUNT_LIMIT:
            self.reservations[name] = reserved
        self.provisions.pop((name, "live"), None)
        room = self.reservations.get(name, ACCOUNT_LIMIT - sum(self.reservations.values()))
        others = sum(
            provision.count
            for provision in self.provisions.values()
            if provision.spec.function_name not in self.reservations and provision.qualifier != AHEAD
        )
        room -= 0 if name in self.reservations else others
        if count and count <= room:
            spec = make_spec(function_name=name, version=str(version))
            self.provisions[name, "live"] = Provision(spec=spec, qualifier="live", count=count, revision=self.now)
        self.provisions.pop((name, AHEAD), None)
        if ahead:
            spec = make_spec(function_name=name, version=str(version), ahead=True)
            self.provisions[name, AHEAD] = Provision(spec=spec, qualifier=AHEAD, count=1, revision=0.0)
        plan = Plan(
            reservations={(HERE, function): amount for function, amount in self.reservations.items()},
            provisions=tuple(self.provisions.values()),
        )
        self.perform(self.state.configure(plan, self.now))

    # -- its answers

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start():
                    assert effect.environment not in self.starting | self.idle | self.busy.keys()
                    self.starting.add(effect.environment)
                case Assign():
                    assert isinstance(effect.demand, Request)
                    assert effect.demand in self.open
                    assert effect.environment in self.idle, "an environment that is not free was given away"
                    self.idle.remove(effect.environment)
                    self.busy[effect.environment] = effect.demand
                case Stop():
                    self.idle.remove(effect.environment)
                case Reject():
                    assert isinstance(effect.demand, Request)
                    self.refuse(effect.demand)

    def refuse(self, request: Request) -> None:
        self.open.remove(request)
        self.refused += 1

    # -- what must hold

    def check(self) -> None:
        self.state.validate()
        assert self.submitted == self.answered + self.refused + len(self.open)
        accounts = dict(self.state.ledger.accounts())
        held = sum(len(function.held) for function in self.state.ledger.functions())
        in_flight = sum(account.in_flight for account in accounts.values())
        assert in_flight + held == len(self.open), "every open request is in flight or held, and nothing else is"
        for account in accounts.values():
            assert 0 <= account.in_flight <= ACCOUNT_LIMIT
        charges = [request.charge for request in self.open if request.charge is not None]
        assert len(charges) == in_flight
        provisioned = sum(charge in (Charge.PROVISIONED_RESERVED, Charge.PROVISIONED_UNRESERVED) for charge in charges)
        reserved, unreserved = charges.count(Charge.RESERVED), charges.count(Charge.UNRESERVED)
        assert provisioned + reserved + unreserved == in_flight
        assert provisioned == sum(len(reserve.busy) for reserve in self.state.reserves())
        assert (
            self.state.alarm is None
            or held
            or any(reserve.retry_at is not None for reserve in self.state.fleet.reserves())
            or self.state.alarm > self.now - 100
        )

    def drain(self) -> None:
        """Let everything come to its end: nobody is left open, nothing is left counted."""
        self.pass_time(1.0)
        while self.starting or self.busy:
            self.started(0)
            self.settled(0)
            self.pass_time(0.01)
        assert not self.open
        assert all(account.in_flight == 0 for _, account in self.state.ledger.accounts())
        self.check()


def pick(names: set[str] | dict[str, Request], number: int) -> str | None:
    ordered = sorted(names)
    return ordered[number % len(ordered)] if ordered else None


NUMBERS = st.integers(0, 99)


class PlacementMachine(RuleBasedStateMachine):
    """Hypothesis chooses the events, and shrinks what breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    @rule(spec=NUMBERS, qualifier=st.sampled_from([None, "live"]), is_event=st.booleans())
    def submit(self, spec: int, qualifier: str | None, is_event: bool) -> None:
        self.model.submit(spec, qualifier, is_event)

    @rule(number=NUMBERS)
    def started(self, number: int) -> None:
        self.model.started(number)

    @rule(number=NUMBERS)
    def start_failed(self, number: int) -> None:
        self.model.start_failed(number)

    @rule(number=NUMBERS)
    def settled(self, number: int) -> None:
        self.model.settled(number)

    @rule(number=NUMBERS)
    def vanished(self, number: int) -> None:
        self.model.vanished(number)

    @rule(number=NUMBERS)
    def gone(self, number: int) -> None:
        self.model.gone(number)

    @rule()
    def worker_lost(self) -> None:
        self.model.worker_lost()

    @rule()
    def worker_ready(self) -> None:
        self.model.worker_ready()

    @rule(spec=NUMBERS)
    def retire(self, spec: int) -> None:
        self.model.retire(spec)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.06, 1.5, 60.0]))
    def pass_time(self, seconds: float) -> None:
        self.model.pass_time(seconds)

    @rule(
        name=st.sampled_from("fgh"),
        reserved=st.sampled_from([None, 0, 1, 3]),
        version=st.integers(1, 2),
        count=st.integers(0, 3),
        ahead=st.booleans(),
    )
    def configure(self, name: str, reserved: int | None, version: int, count: int, ahead: bool) -> None:
        self.model.configure(name, reserved, version, count, ahead=ahead)

    @invariant()
    def holds(self) -> None:
        self.model.check()

    def teardown(self) -> None:
        self.model.drain()


PlacementMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestPlacement = PlacementMachine.TestCase


def test_a_long_walk_in_virtual_time_loses_and_doubles_nothing() -> None:
    """The same events from a seeded draw, far more of them than Hypothesis would take."""
    draw = random.Random(20261124)
    model = Model()
    events = [
        (30, lambda: model.submit(draw.randrange(99), draw.choice([None, "live"]), draw.random() < 0.2)),
        (25, lambda: model.started(draw.randrange(99))),
        (25, lambda: model.settled(draw.randrange(99))),
        (10, lambda: model.pass_time(draw.choice([0.001, 0.02, 0.06, 1.0]))),
        (2, lambda: model.start_failed(draw.randrange(99))),
        (2, lambda: model.vanished(draw.randrange(99))),
        (2, lambda: model.gone(draw.randrange(99))),
        (1, lambda: model.retire(draw.randrange(99))),
        (
            1,
            lambda: model.configure(
                draw.choice("fgh"),
                draw.choice([None, 0, 1, 3]),
                draw.randint(1, 2),
                draw.randrange(4),
                ahead=draw.random() < 0.5,
            ),
        ),
        (0.2, model.worker_lost),
        (0.2, model.worker_ready),
    ]
    weights = [weight for weight, _ in events]
    for step in range(STEPS):
        draw.choices(events, weights)[0][1]()
        if step % 20 == 0:
            model.check()
    model.drain()
    assert model.answered > STEPS / 20
    assert model.refused > 0
