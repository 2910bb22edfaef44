"""Events, drops and deliveries as Prometheus sees them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from lambdad.telemetry.event_metrics import EventMetrics


def test_each_happening_has_its_series() -> None:
    registry = CollectorRegistry()
    metrics = EventMetrics(registry)
    metrics.received("f")
    metrics.started("f", 2.0)
    metrics.started("f", -1.0)
    metrics.dropped("f", "EventAgeExceeded")
    metrics.delivered("f", "on-success")
    metrics.delivery_failed("f", "dead-letter")
    metrics.delivery_failed("f", "on-failure")
    metrics.set_queue("event", {"waiting": 3})
    expected = {
        "lambdad_async_events_received_total": {"function": "f"},
        "lambdad_async_events_dropped_total": {"function": "f", "reason": "EventAgeExceeded"},
        "lambdad_deliveries_total": {"function": "f", "kind": "on-success"},
        "lambdad_dead_letter_errors_total": {"function": "f"},
        "lambdad_destination_delivery_failures_total": {"function": "f"},
    }
    for name, labels in expected.items():
        assert registry.get_sample_value(name, labels) == 1.0, name
    assert registry.get_sample_value("lambdad_async_event_age_seconds_sum", {"function": "f"}) == 2.0
    assert registry.get_sample_value("lambdad_queue_messages", {"lane": "event", "state": "waiting"}) == 3.0


def test_functions_beyond_the_limit_are_counted_together() -> None:
    registry = CollectorRegistry()
    metrics = EventMetrics(registry, functions_max=1)
    for name in ("a", "b", "c", "a"):
        metrics.received(name)
    counts = [
        registry.get_sample_value("lambdad_async_events_received_total", {"function": name}) for name in ("a", "other")
    ]
    assert counts == [2.0, 2.0]
