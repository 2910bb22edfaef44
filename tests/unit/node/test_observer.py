"""Invocations as metrics."""

from __future__ import annotations

from lambdad.model.arn import Namespace
from lambdad.model.errors import function_not_found, throttled
from lambdad.model.invocation import InvocationResult
from lambdad.node.observer import MetricsObserver
from lambdad.telemetry.metrics import Metrics
from lambdad.testing.specs import make_spec

HERE = Namespace("000000000000", "us-east-1")
SPEC = make_spec(namespace=HERE, version="1")


def test_invocations_cold_starts_errors_and_throttles_are_counted() -> None:
    metrics = Metrics()
    observer = MetricsObserver(metrics)
    good = InvocationResult(payload=b"1", memory_used_mb=30)
    bad = InvocationResult(payload=b"{}", error="Unhandled", error_type="Sandbox.Timedout")
    observer.invoked(SPEC, good, {"duration": 5.0, "sandbox": 3.0, "init": 7.0})
    observer.invoked(SPEC, bad, {"duration": 5.0})
    observer.rejected(HERE, "f:1", throttled("ConcurrentInvocationLimitExceeded"))
    observer.rejected(HERE, "nobody", function_not_found("arn"))
    observer.observe_environments({"idle": 2, "busy": 1, "starting": 0, "waiting": 0})
    observer.lingered(SPEC, 1500.0)
    text = metrics.render().decode()
    assert 'lambdad_post_runtime_extensions_seconds_sum{function="f",version="1"} 1.5' in text
    assert 'lambdad_invocations_total{function="f",version="1"} 2.0' in text
    assert 'lambdad_cold_starts_total{function="f",version="1"} 1.0' in text
    assert 'lambdad_errors_total{function="f",type="Sandbox.Timedout",version="1"} 1.0' in text
    assert 'lambdad_throttles_total{function="f",reason="ConcurrentInvocationLimitExceeded",version="1"} 1.0' in text
    assert 'lambdad_sandboxes{state="idle"} 2.0' in text
    assert "lambdad_concurrent_executions 1.0" in text
