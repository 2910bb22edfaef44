"""The driver of `placement.state`: its effects become messages to a worker, the worker's answers become its events."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_never

from lambdad.model.clock import Clock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.placement.state import Assign, Effect, PlacementState, Reject, Start, Stop
from lambdad.worker.interface import SandboxGone, StartFailed, StreamSink, WorkerPort, WorkerUnavailable

Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine in a task that somebody awaits."""


class Ticket:
    """One request on its way: what to run, and who wants the answer.

    sink: takes a streamed response, see `WorkerPort.invoke`. timings: milliseconds by phase; `queue` is the time that
    the request waited beyond the phases of its cold start.
    """

    __slots__ = ("_done", "arrived", "attempts", "invocation", "reserved", "sink", "spec", "timings")

    def __init__(
        self,
        spec: EnvironmentSpec,
        invocation: Invocation,
        reserved: int | None,
        arrived: float,
        done: Callable[[Ticket, InvocationResult | ApiError], None],
        sink: StreamSink | None = None,
    ) -> None:
        self.spec = spec
        self.invocation = invocation
        self.reserved = reserved
        self.arrived = arrived
        self.sink = sink
        self.attempts = 0
        self.timings: dict[str, float] = {}
        self._done = done

    def settle(self, outcome: InvocationResult | ApiError) -> None:
        self._done(self, outcome)


class Placement:
    """Runs requests on one worker."""

    def __init__(self, worker: WorkerPort, clock: Clock, spawn: Spawn, account_limit: int) -> None:
        self._worker = worker
        self._clock = clock
        self._spawn = spawn
        self.state = PlacementState(account_limit)
        self._cold_timings: dict[str, dict[str, float]] = {}
        worker.on_gone = self._gone
        worker.on_lost = self._lost

    def submit(self, ticket: Ticket) -> None:
        """Run a request. Raises `ApiError` if it is throttled; else `ticket.settle` is called once, later."""
        self._perform(self.state.submit(ticket))

    def retire(self, key: str) -> None:
        """The spec with this key has been replaced or deleted."""
        self._perform(self.state.retire(key))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Assign():
                    self._assign(effect)
                case Start():
                    self._spawn(self._start(effect.environment, effect.spec))
                case Stop():
                    self._cold_timings.pop(effect.environment, None)
                    self._worker.stop(effect.environment)
                case Reject():
                    ticket = effect.demand
                    assert isinstance(ticket, Ticket)
                    ticket.settle(effect.error)
                case _:
                    assert_never(effect)

    def _assign(self, effect: Assign) -> None:
        ticket = effect.demand
        assert isinstance(ticket, Ticket)
        environment = effect.environment
        waited = (self._clock.monotonic() - ticket.arrived) * 1000
        if effect.cold:
            phases = self._cold_timings.pop(environment, {})
            ticket.timings.update(phases)
            waited -= sum(phases.values())
        ticket.timings["queue"] = max(waited, 0.0)

        def done(outcome: InvocationResult | SandboxGone | WorkerUnavailable) -> None:
            if isinstance(outcome, InvocationResult):
                ticket.settle(outcome)
                self._perform(self.state.settled(environment))
            elif isinstance(outcome, SandboxGone):
                self._perform(self.state.vanished(environment))
            else:
                ticket.settle(_worker_lost())

        self._worker.invoke(environment, ticket.invocation, done, ticket.sink)

    async def _start(self, environment: str, spec: EnvironmentSpec) -> None:
        try:
            started = await self._worker.start(environment, spec)
        except StartFailed as error:
            status = 502 if error.code != "ServiceException" else 500
            self._perform(self.state.start_failed(environment, ApiError(error.code, status, str(error))))
        except WorkerUnavailable:
            self._perform(self.state.start_failed(environment, _worker_lost()))
        else:
            self._cold_timings[environment] = dict(started.timings)
            self._perform(self.state.started(environment))

    def _gone(self, environment: str) -> None:
        self._cold_timings.pop(environment, None)
        self._perform(self.state.gone(environment))

    def _lost(self) -> None:
        self._cold_timings.clear()
        self._perform(self.state.worker_lost(_worker_lost()))


def _worker_lost() -> ApiError:
    return ApiError(
        "ServiceException", 500, "The worker that ran the function was lost. It is being restarted; try again."
    )
