"""What a node counts of asynchronous invocations: AWS's AsyncEvents* and delivery metrics under Prometheus' names.

A family of its own in the registry of `Metrics`. Labels are bounded as there: functions beyond a limit are `other`.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FUNCTIONS_MAX = 500
OTHER = "other"
_AGES = (0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0)


class EventMetrics:
    """Registered once for each registry."""

    def __init__(self, registry: CollectorRegistry, functions_max: int = FUNCTIONS_MAX) -> None:
        self._functions: set[str] = set()
        self._functions_max = functions_max
        self._received = Counter(
            "lambdad_async_events_received", "Events that were accepted.", ("function",), registry=registry
        )
        self._age = Histogram(
            "lambdad_async_event_age_seconds",
            "Age of events when an attempt begins.",
            ("function",),
            buckets=_AGES,
            registry=registry,
        )
        self._dropped = Counter(
            "lambdad_async_events_dropped", "Events that were given up.", ("function", "reason"), registry=registry
        )
        self._delivered = Counter(
            "lambdad_deliveries", "Records and dead letters that targets took.", ("function", "kind"), registry=registry
        )
        self._dead_letter_errors = Counter(
            "lambdad_dead_letter_errors", "Dead letters that no target took.", ("function",), registry=registry
        )
        self._destination_failures = Counter(
            "lambdad_destination_delivery_failures", "Records that no target took.", ("function",), registry=registry
        )
        self._queue = Gauge(
            "lambdad_queue_messages",
            "Messages of asynchronous invocation by lane and state.",
            ("lane", "state"),
            registry=registry,
        )

    def received(self, function: str) -> None:
        self._received.labels(self._known(function)).inc()

    def started(self, function: str, age: float) -> None:
        """age: seconds since the event was accepted."""
        self._age.labels(self._known(function)).observe(max(age, 0.0))

    def dropped(self, function: str, reason: str) -> None:
        """reason: one of a closed set of ours."""
        self._dropped.labels(self._known(function), reason).inc()

    def delivered(self, function: str, kind: str) -> None:
        """kind: on-success, on-failure or dead-letter."""
        self._delivered.labels(self._known(function), kind).inc()

    def delivery_failed(self, function: str, kind: str) -> None:
        family = self._dead_letter_errors if kind == "dead-letter" else self._destination_failures
        family.labels(self._known(function)).inc()

    def set_queue(self, lane: str, counts: Mapping[str, int]) -> None:
        """counts: messages by state."""
        for state, count in counts.items():
            self._queue.labels(lane, state).set(count)

    def _known(self, function: str) -> str:
        if function not in self._functions:
            if len(self._functions) >= self._functions_max:
                return OTHER
            self._functions.add(function)
        return function
