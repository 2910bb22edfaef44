"""Invocations as metrics: `frontend.invoke.Observer` over `telemetry.metrics`."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.model.arn import LATEST, Namespace, parse_function_reference
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import InvocationResult
from lambdad.model.limits import MEGABYTE
from lambdad.telemetry.metrics import Metrics


class MetricsObserver:
    """Counts what the frontend answers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None:
        function = self._metrics.function(spec.function_name, spec.version)
        function.invoked(timings["duration"] / 1000, result.memory_used_mb * MEGABYTE, result.error_type)
        if "sandbox" in timings:
            function.started(timings)

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
