"""Invocations and events as metrics: the observers of `frontend` and `events` over `telemetry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lambdad.model.arn import LATEST, Namespace, parse_function_reference
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import InvocationResult
from lambdad.model.limits import MEGABYTE
from lambdad.store.event_queue import Lane, Usage
from lambdad.telemetry.event_metrics import EventMetrics
from lambdad.telemetry.metrics import Metrics


class MetricsObserver:
    """Counts what the frontend answers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.on_called: Callable[[EnvironmentSpec], None] = _ignore
        """Called with the spec of each invocation."""

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None:
        self.on_called(spec)
        function = self._metrics.function(spec.function_name, spec.version)
        function.invoked(timings["duration"] / 1000, result.memory_used_mb * MEGABYTE, result.error_type)
        if "sandbox" in timings:
            function.started(timings)

    def lingered(self, spec: EnvironmentSpec, extensions_ms: float) -> None:
        self._metrics.function(spec.function_name, spec.version).lingered(extensions_ms / 1000)

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None:
        if error.status != 429:
            return
        reference = parse_function_reference(function)
        name = function if reference is None else reference.name
        version = LATEST if reference is None else reference.qualifier or LATEST
        self._metrics.function(name, version).throttled(error.members.get("Reason", ""))

    def observe_environments(self, counts: Mapping[str, int]) -> None:
        """Counts of placement, see `PlacementState.counts`."""
        self._metrics.set_sandboxes(counts)
        self._metrics.set_concurrent(counts["busy"])


class EventObserver(MetricsObserver):
    """Counts what becomes of events, and the invocations that they are."""

    def __init__(self, metrics: Metrics, events: EventMetrics) -> None:
        super().__init__(metrics)
        self._events = events

    def event_received(self, function: str) -> None:
        self._events.received(function)

    def event_started(self, function: str, age: float) -> None:
        self._events.started(function, age)

    def event_dropped(self, function: str, reason: str) -> None:
        self._events.dropped(function, reason)

    def delivered(self, function: str, kind: str) -> None:
        self._events.delivered(function, kind)

    def delivery_failed(self, function: str, kind: str) -> None:
        self._events.delivery_failed(function, kind)

    def queue_counted(self, lane: Lane, usage: Usage) -> None:
        self._events.set_queue(lane, {"waiting": usage.waiting, "leased": usage.leased, "dead": usage.dead})


def _ignore(spec: EnvironmentSpec) -> None:
    del spec
