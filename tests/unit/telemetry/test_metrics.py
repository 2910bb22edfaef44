"""Metrics: what is counted, and that nobody outside can make the registry grow."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from lambdad.telemetry.metrics import Metrics


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_an_invocation_is_counted_and_timed() -> None:
    metrics = Metrics()
    metrics.function("f", "1").invoked(0.02, 1024)
    metrics.function("f", "1").invoked(2.0, 2048, "Sandbox.Timedout")
    assert _value(metrics, "lambdad_invocations_total", function="f", version="1") == 2
    assert _value(metrics, "lambdad_errors_total", function="f", version="1", type="Sandbox.Timedout") == 1
    assert _value(metrics, "lambdad_duration_seconds_sum", function="f", version="1") == 2.02
    assert _value(metrics, "lambdad_duration_seconds_bucket", function="f", version="1", le="0.025") == 1
    assert _value(metrics, "lambdad_memory_used_bytes", function="f", version="1") == 2048


def test_error_names_that_functions_invent_are_one_label() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.function("f", "1").invoked(0.1, 1, f"Custom{number}")
        metrics.function("f", "1").invoked(0.1, 1, f"Runtime.Invented{'x' * number}")
    assert _value(metrics, "lambdad_errors_total", function="f", version="1", type="Unhandled") == 100 + 76
    kinds = {sample.labels["type"] for family in metrics.errors.collect() for sample in family.samples}
    assert len(kinds) <= 66


def test_functions_beyond_the_limit_are_counted_together() -> None:
    metrics = Metrics(functions_max=2)
    for number in range(50):
        metrics.function(f"f{number}", "1").invoked(0.1, 1)
    assert _value(metrics, "lambdad_invocations_total", function="f1", version="1") == 1
    assert _value(metrics, "lambdad_invocations_total", function="other", version="other") == 48


def test_a_function_keeps_its_bound_metrics() -> None:
    metrics = Metrics()
    assert metrics.function("f", "1") is metrics.function("f", "1")
    assert metrics.function("f", "1") is not metrics.function("f", "2")


def test_throttles_and_cold_starts_are_counted_by_reason_and_phase() -> None:
    metrics = Metrics()
    metrics.function("f", "1").throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
    metrics.function("f", "1").started({"sandbox": 5.0, "init": 20.0, "duration": 9.0})
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert _value(metrics, "lambdad_throttles_total", function="f", version="1", reason=reason) == 1
    assert _value(metrics, "lambdad_cold_starts_total", function="f", version="1") == 1
    assert _value(metrics, "lambdad_cold_start_seconds_sum", phase="init") == 0.02
    assert _value(metrics, "lambdad_cold_start_seconds_count", phase="queue") is None


def test_sandboxes_are_gauges_by_state() -> None:
    metrics = Metrics()
    metrics.set_sandboxes({"idle": 3, "busy": 1, "unheard of": 7})
    metrics.set_concurrent(4)
    assert _value(metrics, "lambdad_sandboxes", state="idle") == 3
    assert _value(metrics, "lambdad_sandboxes", state="unheard of") is None
    assert _value(metrics, "lambdad_concurrent_executions") == 4


def test_what_is_rendered_is_prometheus_text_of_the_given_registry() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.function('f\n"x', "1").invoked(0.1, 1)
    families = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert {"lambdad_invocations", "lambdad_duration_seconds", "lambdad_sandboxes"} <= families
    assert metrics.registry is registry
