"""The check of telemetry events notices what is missing, what is too much, and what has the wrong form."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.testing.telemetry_schema import check_event

NOON = "2026-01-01T12:00:00.000Z"
SPAN = {"name": "responseLatency", "start": NOON, "durationMs": 1}
DONE = {"requestId": "r", "status": "success", "metrics": {"durationMs": 1.5, "producedBytes": 2}}


def event(kind: str, record: Any) -> dict[str, Any]:
    return {"time": NOON, "type": kind, "record": record}


def test_what_aws_documents_is_right() -> None:
    assert check_event(event("platform.runtimeDone", {**DONE, "spans": [SPAN]})) == []
    assert check_event(event("function", {"level": "INFO"})) == check_event(event("extension", "a line")) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"time": NOON, "type": "function"}, "an event has"),
        ({**event("function", "x"), "time": "noon"}, "an event has"),
        (event("function", 5), "a string or an object"),
        (event("platform.odd", {}), "there is no event"),
        (event("platform.runtimeDone", []), "not an object"),
        (event("platform.runtimeDone", {**DONE, "more": 1}), "unknown member more"),
        (event("platform.runtimeDone", {"status": "success"}), "requestId is missing"),
        (event("platform.runtimeDone", {**DONE, "status": "odd"}), "status is"),
        (event("platform.runtimeDone", {**DONE, "metrics": {"durationMs": -1}}), "metrics is"),
        (event("platform.runtimeDone", {**DONE, "metrics": {"durationMs": True}}), "metrics is"),
        (
            event(
                "platform.runtimeDone",
                {**DONE, "spans": [{"name": "extensionOverhead", "start": NOON, "durationMs": 1}]},
            ),
            "spans is",
        ),
    ],
)
def test_what_it_does_not_is_said(wrong: dict[str, Any], said: str) -> None:
    [problem] = check_event(wrong)
    assert said in problem
