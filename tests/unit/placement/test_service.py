"""The driver of placement, with a worker that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from lambdad.model.clock import SystemClock
from lambdad.model.environment import Code, EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.placement.counting import Limits
from lambdad.placement.pool import Reject
from lambdad.placement.provisioned import INIT_FAILED, Plan, Provision
from lambdad.placement.service import Placement, Ticket
from lambdad.testing.specs import HERE, make_spec
from lambdad.worker.interface import Answer, SandboxGone, Started, StartFailed, StreamSink, WorkerUnavailable

SPEC = make_spec()


@dataclass(frozen=True)
class Target:
    spec: EnvironmentSpec = SPEC
    qualifier: str | None = None


class Worker:
    """A worker that answers as told. starts: what each start brings, in order; the last goes on."""

    def __init__(self, *starts: Started | Exception) -> None:
        self.on_gone: Callable[[str], None] = lambda environment: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_free: Callable[[str, float], None] = lambda environment, extensions_ms: None
        self.starts = list(starts) or [Started({"sandbox": 1.0, "code": 2.0, "init": 3.0})]
        self.invokes: list[tuple[str, Answer]] = []
        self.stopped: list[str] = []

    async def start(self, sandbox_id: str, spec: EnvironmentSpec) -> Started:
        outcome = self.starts.pop(0) if len(self.starts) > 1 else self.starts[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def invoke(self, sandbox_id: str, invocation: Invocation, done: Answer, sink: StreamSink | None = None) -> None:
        self.invokes.append((sandbox_id, done))

    def stop(self, sandbox_id: str) -> None:
        self.stopped.append(sandbox_id)

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        return None


class Bench:
    """A placement whose starts run to their end at once."""

    def __init__(self, worker: Worker, concurrency: int = 10) -> None:
        self.worker = worker
        self.outcomes: list[InvocationResult | ApiError] = []
        self.tickets: list[Ticket] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.placement = Placement(worker, SystemClock(), self.spawn, self.call_later, Limits(concurrency=concurrency))

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.timers.append((delay, callback))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run(coroutine)

    def submit(self, qualifier: str | None = None) -> Ticket:
        invocation = Invocation(request_id="r", payload=b"{}", invoked_arn="arn")
        ticket = Ticket(Target(qualifier=qualifier), invocation, SystemClock().monotonic(), self.done)
        self.tickets.append(ticket)
        self.placement.submit(ticket)
        return ticket

    def done(self, ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
        self.outcomes.append(outcome)


RESULT = InvocationResult(payload=b"1", timings={"duration": 1.0})


def test_a_cold_start_tells_its_phases_and_a_warm_one_only_its_wait() -> None:
    bench = Bench(Worker())
    cold = bench.submit()
    bench.worker.invokes[0][1](RESULT)
    warm = bench.submit()
    bench.worker.invokes[1][1](RESULT)
    assert bench.outcomes == [RESULT, RESULT]
    assert set(cold.timings) == {"sandbox", "code", "init", "queue"}
    assert set(warm.timings) == {"queue"}
    assert bench.worker.invokes[0][0] == bench.worker.invokes[1][0]


def test_a_start_that_fails_is_the_callers_error() -> None:
    bench = Bench(Worker(StartFailed("InvalidRuntimeException", "no python4")))
    bench.submit()
    [error] = bench.outcomes
    assert isinstance(error, ApiError)
    assert (error.code, error.status) == ("InvalidRuntimeException", 502)


def test_a_sandbox_that_is_gone_is_replaced_without_the_caller_noticing() -> None:
    bench = Bench(Worker())
    bench.submit()
    bench.worker.invokes[0][1](SandboxGone("expired"))
    bench.worker.invokes[1][1](RESULT)
    assert bench.outcomes == [RESULT]
    assert bench.worker.invokes[0][0] != bench.worker.invokes[1][0]


def test_a_lost_worker_is_a_service_error_and_nothing_stays_counted() -> None:
    bench = Bench(Worker())
    bench.submit()
    bench.worker.invokes[0][1](WorkerUnavailable("gone"))
    bench.worker.on_lost()
    [error] = bench.outcomes
    assert isinstance(error, ApiError)
    assert error.code == "ServiceException"
    assert [account.in_flight for _, account in bench.placement.state.ledger.accounts()] == [0]


def test_a_retired_spec_is_stopped_on_the_worker() -> None:
    bench = Bench(Worker())
    bench.submit()
    bench.worker.invokes[0][1](RESULT)
    bench.placement.retire(SPEC.key)
    assert bench.worker.stopped == [bench.worker.invokes[0][0]]


def test_an_idle_sandbox_that_the_worker_ended_is_not_used_again() -> None:
    bench = Bench(Worker())
    bench.submit()
    environment, done = bench.worker.invokes[0]
    done(RESULT)
    bench.worker.on_gone(environment)
    bench.submit()
    assert bench.worker.invokes[1][0] != environment


def provision(bench: Bench, count: int) -> None:
    wanted = Provision(
        spec=make_spec(initialization_type="provisioned-concurrency"), qualifier="live", count=count, revision=0.0
    )
    bench.placement.configure(Plan(reservations={}, provisions=(wanted,)))


def test_provisioned_environments_are_started_and_used_without_phases_in_the_timings() -> None:
    bench = Bench(Worker())
    provision(bench, 1)
    assert bench.placement.progress(HERE, "f", "live").status == "READY"
    ticket = bench.submit("live")
    bench.worker.invokes[0][1](RESULT)
    assert set(ticket.timings) == {"queue"}


def test_an_init_phase_that_failed_ends_the_environment_and_is_told() -> None:
    bench = Bench(Worker(Started({"sandbox": 1.0, "code": 1.0})))
    provision(bench, 1)
    progress = bench.placement.progress(HERE, "f", "live")
    assert (progress.status, progress.reason) == ("FAILED", INIT_FAILED)
    assert len(bench.worker.stopped) == 1
    assert len(bench.timers) == 1


def test_a_worker_that_is_there_again_gets_its_provisioned_environments() -> None:
    bench = Bench(Worker(WorkerUnavailable("not yet"), Started({"init": 1.0})))
    provision(bench, 1)
    assert bench.placement.progress(HERE, "f", "live").status == "IN_PROGRESS"
    bench.placement.worker_ready()
    assert bench.placement.progress(HERE, "f", "live").status == "READY"


def test_a_request_without_room_is_throttled_when_the_timer_says_so() -> None:
    bench = Bench(Worker(), concurrency=1)
    bench.submit()
    late = bench.submit()
    assert bench.outcomes == []
    [(delay, wake)] = bench.timers
    assert 0 <= delay <= Limits().patience
    late_clock = bench.placement.state.tick(late.arrived + 1.0)
    [reject] = late_clock
    assert isinstance(reject, Reject)
    assert reject.demand is late
    wake()


def test_what_a_request_took_is_all_in_its_timings() -> None:
    bench = Bench(Worker())
    ticket = bench.submit()
    bench.worker.invokes[0][1](RESULT)
    timings = ticket.finish(RESULT, ticket.arrived + 2.0)
    assert timings["total"] == 2000
    assert timings["duration"] == 1.0


LINGERING = InvocationResult(payload=b"1", timings={"duration": 1.0}, lingers=True)


def test_an_environment_that_lingers_is_answered_for_and_counts_until_it_is_free() -> None:
    bench = Bench(Worker())
    bench.submit()
    environment, done = bench.worker.invokes[0]
    done(LINGERING)
    assert bench.outcomes == [LINGERING]
    bench.submit()
    assert bench.worker.invokes[1][0] != environment
    bench.worker.on_free(environment, 5.0)
    bench.submit()
    assert bench.worker.invokes[2][0] == environment


def test_an_environment_that_ends_while_it_lingers_is_not_counted_for_ever() -> None:
    bench = Bench(Worker())
    bench.submit()
    environment, done = bench.worker.invokes[0]
    done(LINGERING)
    bench.worker.on_gone(environment)
    assert [account.in_flight for _, account in bench.placement.state.ledger.accounts()] == [0]
    bench.submit()
    assert bench.worker.invokes[1][0] != environment


def test_an_environment_that_lingers_has_answered_and_is_not_free() -> None:
    bench = Bench(Worker())
    told: list[float] = []
    bench.placement.on_lingered = lambda spec, milliseconds: told.append(milliseconds)
    bench.submit()
    bench.worker.invokes[0][1](InvocationResult(payload=b"1", lingers=True))
    assert len(bench.outcomes) == 1
    bench.submit()
    first, second = (invoke[0] for invoke in bench.worker.invokes)
    assert first != second
    bench.worker.invokes[1][1](RESULT)
    bench.worker.on_free(first, 250.0)
    bench.worker.on_free(first, 1.0)
    bench.submit()
    assert (bench.worker.invokes[2][0], told) == (first, [250.0])
