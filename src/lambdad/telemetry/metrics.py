"""What a node counts, for Prometheus: invocations, errors, throttles, durations, cold starts, sandboxes.

Labels are bounded: a function beyond the limit is counted as `other`, and error types are those of the platform or
`Unhandled`, so nobody outside can make the registry grow. A function's metrics are bound once (`Metrics.function`) and
then cost a few additions an invocation. Durations are seconds and sizes bytes, as Prometheus has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

FUNCTIONS_MAX = 500
"""Pairs of function and version that have labels of their own: some 40 series each."""
OTHER = "other"

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PHASES = ("queue", "sandbox", "code", "init")
STATES = ("idle", "busy", "starting", "waiting")

_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_STARTS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
_PLATFORM_ERROR = re.compile(r"(Runtime|Function|Sandbox|Extension)\.[A-Z][A-Za-z]{1,30}")
_ERROR_TYPES_MAX = 64
_REASONS_MAX = 32


class FunctionMetrics:
    """The metrics of one function version, bound to its labels."""

    __slots__ = ("_errors", "_family", "_invocations", "_labels", "_memory", "_seconds", "_throttles")

    def __init__(self, family: Metrics, labels: tuple[str, str]) -> None:
        self._family = family
        self._labels = labels
        self._invocations = family.invocations.labels(*labels)
        self._seconds = family.seconds.labels(*labels)
        self._memory = family.memory.labels(*labels)
        self._errors: dict[str, Counter] = {}
        self._throttles: dict[str, Counter] = {}

    def invoked(self, seconds: float, memory_bytes: int, error_type: str | None = None) -> None:
        """An invocation ended. error_type: None, or what went wrong, in anybody's words."""
        self._invocations.inc()
        self._seconds.observe(seconds)
        self._memory.set(memory_bytes)
        if error_type is not None:
            kind = self._family.known_error(error_type)
            if kind not in self._errors:
                self._errors[kind] = self._family.errors.labels(*self._labels, kind)
            self._errors[kind].inc()

    def throttled(self, reason: str) -> None:
        """An invocation was refused with 429. reason: AWS's name for it."""
        kind = self._family.known_reason(reason)
        if kind not in self._throttles:
            self._throttles[kind] = self._family.throttles.labels(*self._labels, kind)
        self._throttles[kind].inc()

    def lingered(self, seconds: float) -> None:
        """Extensions kept a sandbox busy for so long after its answer: AWS's PostRuntimeExtensionsDuration."""
        self._family.extension_seconds.labels(*self._labels).observe(seconds)

    def started(self, phases_ms: Mapping[str, float]) -> None:
        """A sandbox was made. phases_ms: milliseconds by the names of `PHASES`; others are ignored."""
        self._family.starts.labels(*self._labels).inc()
        for phase in PHASES:
            if phase in phases_ms:
                self._family.start_seconds.labels(phase).observe(phases_ms[phase] / 1000)


class Metrics:
    """The registry of one process, built once. registry: where to register; a new one by default."""

    def __init__(self, registry: CollectorRegistry | None = None, functions_max: int = FUNCTIONS_MAX) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._functions_max = functions_max
        self._functions: dict[tuple[str, str], FunctionMetrics] = {}
        self._error_types: set[str] = set()
        self._reasons: set[str] = set()
        labels = ("function", "version")
        self.invocations = Counter(
            "lambdad_invocations", "Invocations that ended, failed ones included.", labels, registry=self.registry
        )
        self.errors = Counter(
            "lambdad_errors", "Invocations that failed, by kind.", (*labels, "type"), registry=self.registry
        )
        self.throttles = Counter(
            "lambdad_throttles", "Invocations refused with 429.", (*labels, "reason"), registry=self.registry
        )
        self.seconds = Histogram(
            "lambdad_duration_seconds",
            "Time in the handler.",
            labels,
            buckets=_DURATIONS,
            registry=self.registry,
        )
        self.memory = Gauge(
            "lambdad_memory_used_bytes", "Memory of the last sandbox that answered.", labels, registry=self.registry
        )
        self.extension_seconds = Histogram(
            "lambdad_post_runtime_extensions_seconds",
            "Time that extensions kept a sandbox busy after its answer.",
            labels,
            buckets=_DURATIONS,
            registry=self.registry,
        )
        self.starts = Counter("lambdad_cold_starts", "Sandboxes made.", labels, registry=self.registry)
        self.start_seconds = Histogram(
            "lambdad_cold_start_seconds",
            "Parts of a cold start.",
            ("phase",),
            buckets=_STARTS,
            registry=self.registry,
        )
        self._sandboxes = Gauge(
            "lambdad_sandboxes",
            "Sandboxes by state; waiting are requests without one.",
            ("state",),
            registry=self.registry,
        )
        self._concurrent = Gauge("lambdad_concurrent_executions", "Invocations that run now.", registry=self.registry)

    def function(self, function: str, version: str) -> FunctionMetrics:
        """The metrics of a function version; those of `other` when too many have some."""
        key = (function, version)
        found = self._functions.get(key)
        if found is None:
            if len(self._functions) >= self._functions_max:
                key = (OTHER, OTHER)
            found = self._functions.get(key)
            if found is None:
                found = self._functions[key] = FunctionMetrics(self, key)
        return found

    def set_sandboxes(self, counts: Mapping[str, int]) -> None:
        """counts: by state, see `STATES`; a state that is not named is not touched."""
        for state in STATES:
            if state in counts:
                self._sandboxes.labels(state).set(counts[state])

    def set_concurrent(self, count: int) -> None:
        self._concurrent.set(count)

    def known_error(self, error_type: str) -> str:
        """The label for an error: the platform's types by name, everything that functions invent as `Unhandled`."""
        if not _PLATFORM_ERROR.fullmatch(error_type):
            return "Unhandled"
        return _admit(error_type, self._error_types, _ERROR_TYPES_MAX)

    def known_reason(self, reason: str) -> str:
        """The label for the reason of a throttle."""
        return _admit(reason, self._reasons, _REASONS_MAX)

    def render(self) -> bytes:
        """The registry in Prometheus's text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)


def _admit(name: str, known: set[str], limit: int) -> str:
    if name not in known:
        if len(known) >= limit:
            return OTHER
        known.add(name)
    return name
