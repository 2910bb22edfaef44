"""The measures of an invocation add up."""

from __future__ import annotations

from lambdad.worker.outcome import Answered


def test_latency_response_and_overhead_are_the_whole_duration() -> None:
    answered = Answered(payload=b"", fault=None, at=5.0, size=3, latency_ms=40.0, duration_ms=100.0)
    for overhead_ms in (None, 25.0):
        done = answered.done(overhead_ms)
        assert done.latency_ms + done.response_ms + (done.overhead_ms or 0.0) == done.duration_ms
