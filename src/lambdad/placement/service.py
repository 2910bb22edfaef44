"""The driver of `placement.state`: its effects become messages to a worker, the worker's answers become its events."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_never

from lambdad.model.arn import Namespace
from lambdad.model.clock import Clock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.settings import Provisioning
from lambdad.model.target import Target
from lambdad.placement.counting import Charge, Limits
from lambdad.placement.pool import Assign, Effect, Reject, Start, Stop
from lambdad.placement.provisioned import INIT_FAILED, INITIALIZATION_TYPE, Plan
from lambdad.placement.state import PlacementState
from lambdad.placement.view import describe_provisioning
from lambdad.worker.interface import SandboxGone, StartFailed, StreamSink, WorkerPort, WorkerUnavailable

Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine in a task that somebody awaits."""
CallLater = Callable[[float, Callable[[], None]], object]
"""Calls back in so many seconds; `asyncio.AbstractEventLoop.call_later` is one."""


class Ticket:
    """One request on its way: what to run, and who wants the answer. Implements `pool.Demand`.

    arrived: monotonic seconds. sink: takes a streamed response, see `WorkerPort.invoke`. timings: milliseconds by
    phase; `queue` is the time that the request waited beyond the phases of its cold start.
    """

    __slots__ = (
        "_done",
        "arrived",
        "attempts",
        "charge",
        "invocation",
        "is_event",
        "qualifier",
        "sink",
        "spec",
        "timings",
    )

    def __init__(
        self,
        target: Target,
        invocation: Invocation,
        arrived: float,
        done: Callable[[Ticket, InvocationResult | ApiError], None],
        sink: StreamSink | None = None,
        *,
        is_event: bool = False,
    ) -> None:
        self.spec = target.spec
        self.qualifier = target.qualifier
        self.invocation = invocation
        self.arrived = arrived
        self.sink = sink
        self.is_event = is_event
        self.attempts = 0
        self.charge: Charge | None = None
        self.timings: dict[str, float] = {}
        self._done = done

    def settle(self, outcome: InvocationResult | ApiError) -> None:
        self._done(self, outcome)

    def finish(self, result: InvocationResult, now: float) -> dict[str, float]:
        """All timings of a request that ends now, those of the function and `total` among them."""
        timings = self.timings
        timings.update(result.timings)
        timings["total"] = (now - self.arrived) * 1000
        return timings


class Placement:
    """Runs requests on one worker."""

    def __init__(
        self, worker: WorkerPort, clock: Clock, spawn: Spawn, call_later: CallLater, limits: Limits | None = None
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._spawn = spawn
        self._call_later = call_later
        self._alarm = float("inf")
        """When the next timer goes off."""
        self.state = PlacementState(limits or Limits())
        self._cold_timings: dict[str, dict[str, float]] = {}
        self._lingering: dict[str, EnvironmentSpec] = {}
        """Environments that have answered and are busy with their extensions still."""
        self.on_lingered: Callable[[EnvironmentSpec, float], None] = _ignore_lingered
        """Called with how long, in milliseconds, extensions kept an environment busy after its answer."""
        worker.on_gone = self._gone
        worker.on_free = self._free
        worker.on_lost = self._lost

    def submit(self, ticket: Ticket) -> None:
        """Run a request. Raises `ApiError` if it is throttled; else `ticket.settle` is called once, later."""
        self._perform(self.state.submit(ticket, ticket.arrived))

    def retire(self, key: str) -> None:
        """The spec with this key has been replaced or deleted."""
        self._perform(self.state.retire(key))

    def configure(self, plan: Plan) -> None:
        """What is reserved and provisioned from now on."""
        self._perform(self.state.configure(plan, self._clock.monotonic()))

    def worker_ready(self) -> None:
        """The worker is there, for the first time or again."""
        self._perform(self.state.worker_ready(self._clock.monotonic()))

    def progress(self, namespace: Namespace, name: str, qualifier: str) -> Provisioning:
        """How far the provisioned environments of a version or an alias are."""
        return describe_provisioning(self.state, namespace, name, qualifier)

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
        alarm = self.state.alarm
        if alarm is not None and alarm < self._alarm:
            self._alarm = alarm
            self._call_later(max(alarm - self._clock.monotonic(), 0.0), self._wake)

    def _wake(self) -> None:
        self._alarm = float("inf")
        self._perform(self.state.tick(self._clock.monotonic()))

    def _assign(self, effect: Assign) -> None:
        ticket = effect.demand
        assert isinstance(ticket, Ticket)
        environment = effect.environment
        waited = (self._clock.monotonic() - ticket.arrived) * 1000
        if effect.cold:
            phases = self._cold_timings.pop(environment, {})
            if ticket.charge not in _PROVISIONED:  # nobody waited for those phases
                ticket.timings.update(phases)
                waited -= sum(phases.values())
        ticket.timings["queue"] = max(waited, 0.0)

        def done(outcome: InvocationResult | SandboxGone | WorkerUnavailable) -> None:
            if isinstance(outcome, InvocationResult):
                ticket.settle(outcome)
                if outcome.lingers:
                    self._lingering[environment] = ticket.spec
                else:
                    self._perform(self.state.settled(environment, self._clock.monotonic()))
            elif isinstance(outcome, SandboxGone):
                self._perform(self.state.vanished(environment, self._clock.monotonic()))
            else:
                ticket.settle(_worker_lost())

        self._worker.invoke(environment, ticket.invocation, done, ticket.sink)

    async def _start(self, environment: str, spec: EnvironmentSpec) -> None:
        problem: str | None = None
        try:
            started = await self._worker.start(environment, spec)
        except StartFailed as failure:
            status = START_STATUS.get(failure.code, 502)
            error, problem = ApiError(failure.code, status, str(failure)), str(failure)
        except WorkerUnavailable:
            error = _worker_lost()
        else:
            is_ahead = spec.ahead or spec.initialization_type == INITIALIZATION_TYPE
            if not is_ahead or "init" in started.timings:
                if not spec.ahead:
                    self._cold_timings[environment] = dict(started.timings)
                self._perform(self.state.started(environment, self._clock.monotonic()))
                return
            self._worker.stop(environment)
            error, problem = ApiError("ServiceException", 500, INIT_FAILED), INIT_FAILED
        self._perform(self.state.start_failed(environment, error, problem, self._clock.monotonic()))

    def _free(self, environment: str, extensions_ms: float) -> None:
        spec = self._lingering.pop(environment, None)
        if spec is not None:
            self.on_lingered(spec, extensions_ms)
            self._perform(self.state.settled(environment, self._clock.monotonic()))

    def _gone(self, environment: str) -> None:
        if environment in self._lingering:  # its request is answered: it has ended as an idle one does
            self._free(environment, 0.0)
        self._cold_timings.pop(environment, None)
        self._perform(self.state.gone(environment, self._clock.monotonic()))

    def _lost(self) -> None:
        self._cold_timings.clear()
        self._lingering.clear()
        self._perform(self.state.worker_lost(_worker_lost(), self._clock.monotonic()))


START_STATUS = {"ServiceException": 500, "SnapStartException": 400, "SnapStartTimeoutException": 408}
"""HTTP status of what a start may fail with; of all others 502."""
_PROVISIONED = (Charge.PROVISIONED_RESERVED, Charge.PROVISIONED_UNRESERVED)


def _ignore_lingered(spec: EnvironmentSpec, extensions_ms: float) -> None:
    del spec, extensions_ms


def _worker_lost() -> ApiError:
    return ApiError(
        "ServiceException", 500, "The worker that ran the function was lost. It is being restarted; try again."
    )
