"""The driver of placement, with a worker that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from lambdad.model.arn import Namespace
from lambdad.model.clock import SystemClock
from lambdad.model.environment import Code, EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.placement.service import Placement, Ticket
from lambdad.worker.interface import Answer, SandboxGone, Started, StartFailed, StreamSink, WorkerUnavailable

SPEC = EnvironmentSpec(
    namespace=Namespace("000000000000", "us-east-1"),
    function_name="f",
    version="$LATEST",
    revision="a",
    runtime="python3.11",
    handler="app.handler",
    memory_mb=128,
    timeout_s=3,
    ephemeral_mb=512,
    architecture="x86_64",
    environment={},
    code=None,
)


class Worker:
    """A worker that answers as told. starts: what each start brings, in order; the last goes on."""

    def __init__(self, *starts: Started | Exception) -> None:
        self.on_gone: Callable[[str], None] = lambda environment: None
        self.on_lost: Callable[[], None] = lambda: None
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

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.outcomes: list[InvocationResult | ApiError] = []
        self.tickets: list[Ticket] = []
        self.placement = Placement(worker, SystemClock(), self.spawn, 10)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run(coroutine)

    def submit(self) -> Ticket:
        invocation = Invocation(request_id="r", payload=b"{}", invoked_arn="arn")
        ticket = Ticket(SPEC, invocation, None, SystemClock().monotonic(), self.done)
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
    assert bench.placement.state.in_flight("000000000000/us-east-1") == 0


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
