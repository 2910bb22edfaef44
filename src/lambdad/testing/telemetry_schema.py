"""The Telemetry API's events, schema 2022-12-13, as a check: what AWS documents, and nothing besides.

    problems = check_event({"time": …, "type": "platform.report", "record": {…}})

Source: "Lambda Telemetry API Event schema reference", AWS Lambda Developer Guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_INIT_TYPES = ("on-demand", "provisioned-concurrency", "snap-start")
_PHASES = ("init", "invoke", "snap-start")
_STATUSES = ("success", "failure", "error", "timeout")


def check_event(event: Mapping[str, Any]) -> list[str]:
    """What is wrong with an event, a sentence each; nothing if all is well."""
    kind = event.get("type")
    if set(event) != {"time", "type", "record"} or not _is_time(event["time"]):
        return [f"an event has time, type and record, and this one {sorted(event)} at {event.get('time')!r}"]
    if kind in ("function", "extension"):
        return [] if isinstance(event["record"], str | dict) else [f"{kind}: a record is a string or an object"]
    members = _RECORDS.get(str(kind))
    if members is None:
        return [f"there is no event {kind!r}"]
    return _check_members(str(kind), event["record"], members)


def _check_members(where: str, value: Any, members: Mapping[str, Check]) -> list[str]:
    """members: by name; one that may be missing ends in `?`."""
    if not isinstance(value, dict):
        return [f"{where}: not an object: {value!r}"]
    known = {name.rstrip("?") for name in members}
    wrong = [f"{where}: unknown member {name}" for name in value if name not in known]
    for name, check in members.items():
        plain = name.rstrip("?")
        if plain not in value:
            if plain == name:
                wrong.append(f"{where}: {name} is missing")
        elif not check(value[plain]):
            wrong.append(f"{where}: {plain} is {value[plain]!r}")
    return wrong


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_milliseconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)


def _one_of(values: tuple[str, ...]) -> Check:
    return lambda value: value in values


def _object(members: Mapping[str, Check]) -> Check:
    return lambda value: not _check_members("", value, members)


def _spans(*names: str) -> Check:
    span = _object({"name": _one_of(names), "start": _is_time, "durationMs": _is_milliseconds})
    return lambda value: isinstance(value, list) and all(span(item) for item in value)


_TRACING = _object({"spanId?": _is_text, "type": _one_of(("X-Amzn-Trace-Id",)), "value": _is_text})
_OUTCOME: Mapping[str, Check] = {"status": _one_of(_STATUSES), "errorType?": _is_text}
_INIT: Mapping[str, Check] = {"initializationType": _one_of(_INIT_TYPES), "phase": _one_of(_PHASES)}
_INSTANCE: Mapping[str, Check] = {
    "functionName": _is_text,
    "functionVersion": _is_text,
    "instanceId?": _is_text,
    "instanceMaxMemory?": _is_count,
    "runtimeVersion?": _is_text,
    "runtimeVersionArn?": _is_text,
}
_REQUEST: Mapping[str, Check] = {"requestId": _is_text, "tracing?": _TRACING}
_DURATION = _object({"durationMs": _is_milliseconds})
_REPORT_METRICS = _object(
    {
        "durationMs": _is_milliseconds,
        "billedDurationMs": _is_count,
        "memorySizeMB": _is_count,
        "maxMemoryUsedMB": _is_count,
        "initDurationMs?": _is_milliseconds,
        "restoreDurationMs?": _is_milliseconds,
        "billedRestoreDurationMs?": _is_count,
    }
)
_RECORDS: Mapping[str, Mapping[str, Check]] = {
    "platform.initStart": {**_INIT, **_INSTANCE},
    "platform.initRuntimeDone": {**_INIT, **_OUTCOME, "spans?": _spans()},
    "platform.initReport": {**_INIT, **_OUTCOME, "metrics": _DURATION, "spans?": _spans()},
    "platform.restoreStart": _INSTANCE,
    "platform.restoreRuntimeDone": {**_OUTCOME, "spans?": _spans()},
    "platform.restoreReport": {**_OUTCOME, "metrics?": _DURATION, "spans?": _spans()},
    "platform.start": {**_REQUEST, "version?": _is_text},
    "platform.runtimeDone": {
        **_REQUEST,
        **_OUTCOME,
        "metrics?": _object({"durationMs": _is_milliseconds, "producedBytes?": _is_count}),
        "spans?": _spans("responseLatency", "responseDuration", "runtimeOverhead"),
    },
    "platform.report": {
        **_REQUEST,
        **_OUTCOME,
        "metrics": _REPORT_METRICS,
        "spans?": _spans("extensionOverhead"),
    },
    "platform.extension": {"name": _is_text, "state": _is_text, "events": _is_texts, "errorType?": _is_text},
    "platform.logsSubscription": {"name": _is_text, "state": _is_text, "types": _is_texts},
    "platform.telemetrySubscription": {"name": _is_text, "state": _is_text, "types": _is_texts},
    "platform.logsDropped": {"reason": _is_text, "droppedRecords": _is_count, "droppedBytes": _is_count},
}
