"""Platform events as the older Logs API delivers them: other names, fewer members, `fault` and `end` besides. Pure.

Source: "Using the Lambda Logs API", AWS Lambda Developer Guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.telemetry.function_log import (
    Event,
    Report,
    RuntimeDone,
    TelemetrySubscription,
    format_time,
    telemetry_record,
)

WITH_RUNTIME_DONE = "2021-03-18"
"""The schema version that has `platform.runtimeDone`."""


def logs_api_records(event: Event, now_ms: int, schema: str) -> list[Mapping[str, Any]]:
    """What becomes of one event; the order is that of delivery."""
    record = telemetry_record(event, now_ms)
    members: dict[str, Any] = record["record"]
    match event:
        case RuntimeDone():
            request_id = {"requestId": event.request_id}
            done = [_named("runtimeDone", now_ms, {**request_id, "status": event.status})]
            faults = [] if event.status == "success" else [_fault(event, now_ms)]
            end = _named("end", now_ms, request_id)
            return [*(done if schema >= WITH_RUNTIME_DONE else []), *faults, end]
        case Report():
            return [_named("report", now_ms, {"requestId": event.request_id, "metrics": members["metrics"]})]
        case TelemetrySubscription():
            return [_named("logsSubscription", now_ms, members)]
        case _:
            return [record]


def _named(kind: str, now_ms: int, record: object) -> Mapping[str, Any]:
    return {"time": format_time(now_ms), "type": f"platform.{kind}", "record": record}


def _fault(event: RuntimeDone, now_ms: int) -> Mapping[str, Any]:
    kind = f"\tErrorType: {event.error_type}" if event.error_type and event.status != "timeout" else ""
    return _named("fault", now_ms, f"RequestId: {event.request_id} Status: {event.status}{kind}")
