"""What the platform itself says about a function: AWS's events, as text lines, JSON records and telemetry. Pure.

An event is a value. Its text is what CloudWatch Logs shows for `LogFormat: Text`; its record is what it shows for
`JSON`, and what the Telemetry API delivers (schema 2022-12-13). Lines of the function are `log_lines.py`.

Source: "Working with Lambda function logs" and "Lambda Telemetry API Event schema reference", AWS Lambda Developer
Guide. Times are milliseconds; `now_ms` is since the Unix epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, assert_never

import orjson


class Level(IntEnum):
    """Log levels, in their order."""

    TRACE = 1
    DEBUG = 2
    INFO = 3
    WARN = 4
    ERROR = 5
    FATAL = 6


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a phase, such as `responseLatency`. start_ms: since the epoch."""

    name: str
    start_ms: float
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """The X-Ray context of an invocation; the segment's id only if there is a segment."""

    value: str
    span_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InitStart:
    """phase: `init`, or `invoke` when a failed init is repeated inside the first invocation."""

    function_name: str
    version: str
    initialization_type: str = "on-demand"
    phase: str = "init"
    runtime_version: str | None = None
    runtime_version_arn: str | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRuntimeDone:
    """status: `success`, `failure`, `error` or `timeout`, here and below."""

    status: str = "success"
    error_type: str | None = None
    initialization_type: str = "on-demand"
    phase: str = "init"


@dataclass(frozen=True, slots=True, kw_only=True)
class InitReport:
    duration_ms: float
    status: str = "success"
    error_type: str | None = None
    initialization_type: str = "on-demand"
    phase: str = "init"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStart:
    function_name: str
    version: str
    runtime_version: str | None = None
    runtime_version_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRuntimeDone:
    status: str = "success"
    error_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    duration_ms: float
    status: str = "success"
    error_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeStart:
    request_id: str
    version: str
    tracing: Tracing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeDone:
    """The end of an invocation for the runtime; in text it is the line END, which failures have, too."""

    request_id: str
    duration_ms: float
    status: str = "success"
    error_type: str | None = None
    produced_bytes: int | None = None
    tracing: Tracing | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """init_ms: only on the invocation that a cold start was made for. trace: only when it is sampled."""

    request_id: str
    duration_ms: float
    memory_size_mb: int
    memory_used_mb: int
    init_ms: float | None = None
    restore_ms: float | None = None
    status: str = "success"
    error_type: str | None = None
    tracing: Tracing | None = None
    spans: tuple[Span, ...] = ()

    @property
    def billed_ms(self) -> int:
        """Whole milliseconds, initialisation and restoring included."""
        return math.ceil(self.duration_ms + (self.init_ms or 0.0) + (self.restore_ms or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionState:
    """state: `Registered`, `Ready`, `Started` or `LaunchError`, as the platform sees the extension."""

    name: str
    state: str
    events: tuple[str, ...] = ()
    error_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySubscription:
    """is_logs_api: to the older Logs API, which has a line and a record of its own."""

    name: str
    state: str
    types: tuple[str, ...]
    is_logs_api: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsDropped:
    reason: str
    records: int
    bytes: int


Event = (
    InitStart
    | InitRuntimeDone
    | InitReport
    | RestoreStart
    | RestoreRuntimeDone
    | RestoreReport
    | InvokeStart
    | RuntimeDone
    | Report
    | ExtensionState
    | TelemetrySubscription
    | LogsDropped
)


@dataclass(frozen=True, slots=True)
class LogFormatter:
    """How one function's platform events are logged.

    log_format: `Text` or `JSON`. system_level: least level of platform records; text has none.
    """

    log_format: str = "Text"
    system_level: Level = Level.INFO

    def format(self, event: Event, now_ms: int) -> bytes | None:
        """The event's log record, without a line end; None if the function's log does not show it."""
        if self.log_format == "JSON":
            return format_json(event, now_ms) if level_of(event) >= self.system_level else None
        text = format_text(event)
        return None if text is None else text.encode()


def parse_level(text: str | None, default: Level = Level.INFO) -> Level:
    """A level's name in any case; `default` for anything else."""
    try:
        return Level[(text or "").upper()]
    except KeyError:
        return default


def format_json(event: Event, now_ms: int) -> bytes:
    """The record as JSON."""
    return orjson.dumps(telemetry_record(event, now_ms))


def format_time(now_ms: int) -> str:
    """`2026-01-31T23:59:59.000Z`."""
    seconds, milliseconds = divmod(now_ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"


def stream_name(now_ms: int, version: str, token: str) -> str:
    """Log stream of one sandbox: `2026/01/31/[$LATEST]0123…`. token: 32 hexadecimal digits that nobody else has."""
    return f"{time.strftime('%Y/%m/%d', time.gmtime(now_ms / 1000))}/[{version}]{token}"


def format_text(event: Event) -> str | None:
    """The line of an event, tabs and all, without a line end; None for events that text does not show."""
    match event:
        case InitStart(runtime_version=str(version)) if event.phase == "init":
            arn = event.runtime_version_arn
            return f"INIT_START Runtime Version: {version}" + (f"\tRuntime Version ARN: {arn}" if arn else "")
        case InitReport(duration_ms=duration) if event.status != "success" or event.initialization_type != "on-demand":
            return f"INIT_REPORT Init Duration: {duration:.2f} ms\tPhase: {event.phase}{_outcome(event)}"
        case RestoreStart(runtime_version=str(version)):
            arn = event.runtime_version_arn
            return f"RESTORE_START Runtime Version: {version}" + (f"\tRuntime Version ARN: {arn}" if arn else "")
        case RestoreReport(duration_ms=duration):
            return f"RESTORE_REPORT Restore Duration: {duration:.2f} ms{_outcome(event)}"
        case InvokeStart():
            return f"START RequestId: {event.request_id} Version: {event.version}"
        case RuntimeDone():
            return f"END RequestId: {event.request_id}"
        case Report():
            return _report_line(event)
        case ExtensionState():
            suffix = f"\tError Type: {event.error_type}" if event.error_type else ""
            return f"EXTENSION\tName: {event.name}\tState: {event.state}\tEvents: [{','.join(event.events)}]{suffix}"
        case TelemetrySubscription():
            api = "LOGS" if event.is_logs_api else "TELEMETRY"
            return f"{api}\tName: {event.name}\tState: {event.state}\tTypes: [{','.join(event.types)}]"
        case LogsDropped():
            return f"LOGS_DROPPED {event.reason}\tDropped Records: {event.records}\tDropped Bytes: {event.bytes}"
        case InitStart() | InitRuntimeDone() | InitReport() | RestoreStart() | RestoreRuntimeDone():
            return None
        case _:
            assert_never(event)


def _report_line(event: Report) -> str:
    fields = [
        f"REPORT RequestId: {event.request_id}",
        f"Duration: {event.duration_ms:.2f} ms",
        f"Billed Duration: {event.billed_ms} ms",
        f"Memory Size: {event.memory_size_mb} MB",
        f"Max Memory Used: {event.memory_used_mb} MB",
    ]
    if event.init_ms is not None:
        fields.append(f"Init Duration: {event.init_ms:.2f} ms")
    if event.restore_ms is not None:
        fields.append(f"Restore Duration: {event.restore_ms:.2f} ms")
        fields.append(f"Billed Restore Duration: {math.ceil(event.restore_ms)} ms")
    line = "\t".join(fields) + (_outcome(event) or "\t")
    if event.tracing is not None and event.tracing.span_id is not None:
        root = _trace_root(event.tracing.value)
        line += f"\nXRAY TraceId: {root}\tSegmentId: {event.tracing.span_id}\tSampled: true"
    return line


def _trace_root(value: str) -> str:
    for part in value.split(";"):
        name, _, text = part.partition("=")
        if name.strip() == "Root":
            return text
    return value


def _outcome(event: InitReport | RestoreReport | Report) -> str:
    if event.status == "success":
        return ""
    suffix = f"\tError Type: {event.error_type}" if event.error_type and event.status != "timeout" else ""
    return f"\tStatus: {event.status}{suffix}"


def level_of(event: Event) -> Level:
    """The level that AWS gives a platform record."""
    match event:
        case InitStart() | RestoreStart():
            return Level.INFO if event.runtime_version is not None else Level.DEBUG
        case InitRuntimeDone() | RestoreRuntimeDone() | RuntimeDone():
            return Level.DEBUG if event.status == "success" else Level.WARN
        case InitReport():
            usual = Level.DEBUG if event.initialization_type == "on-demand" else Level.INFO
            return usual if event.status == "success" else Level.WARN
        case Report() | RestoreReport():
            return Level.INFO if event.status == "success" else Level.WARN
        case ExtensionState():
            return Level.INFO if event.error_type is None else Level.WARN
        case InvokeStart() | TelemetrySubscription():
            return Level.INFO
        case LogsDropped():
            return Level.WARN
        case _:
            assert_never(event)


def telemetry_record(event: Event, now_ms: int) -> Mapping[str, Any]:
    """`{"time": …, "type": "platform.…", "record": {…}}`; members that do not apply are absent."""
    kind, members = _record(event)
    record = {name: value for name, value in members.items() if value is not None and (name != "spans" or value)}
    return {"time": format_time(now_ms), "type": f"platform.{kind}", "record": record}


def _record(event: Event) -> tuple[str, dict[str, Any]]:
    match event:
        case InitStart() | InitRuntimeDone() | InitReport():
            return _init_record(event)
        case RestoreStart() | RestoreRuntimeDone() | RestoreReport():
            return _restore_record(event)
        case InvokeStart():
            tracing = _tracing(event.tracing)
            return "start", {"requestId": event.request_id, "version": event.version, "tracing": tracing}
        case RuntimeDone() | Report():
            return _invoke_record(event)
        case ExtensionState():
            return "extension", {
                "name": event.name,
                "state": event.state,
                "events": list(event.events),
                "errorType": event.error_type,
            }
        case TelemetrySubscription():
            kind = "logsSubscription" if event.is_logs_api else "telemetrySubscription"
            return kind, {"name": event.name, "state": event.state, "types": list(event.types)}
        case LogsDropped():
            counts = {"droppedRecords": event.records, "droppedBytes": event.bytes}
            return "logsDropped", {"reason": event.reason, **counts}
        case _:
            assert_never(event)


def _init_record(event: InitStart | InitRuntimeDone | InitReport) -> tuple[str, dict[str, Any]]:
    common = {"initializationType": event.initialization_type, "phase": event.phase}
    match event:
        case InitStart():
            return "initStart", {
                **common,
                "runtimeVersion": event.runtime_version,
                "runtimeVersionArn": event.runtime_version_arn,
                "functionName": event.function_name,
                "functionVersion": event.version,
                "instanceMaxMemory": event.memory_bytes,
            }
        case InitRuntimeDone():
            return "initRuntimeDone", {**common, "status": event.status, "errorType": event.error_type}
        case InitReport():
            metrics = {"durationMs": _round(event.duration_ms)}
            return "initReport", {**common, "status": event.status, "errorType": event.error_type, "metrics": metrics}
        case _:
            assert_never(event)


def _restore_record(event: RestoreStart | RestoreRuntimeDone | RestoreReport) -> tuple[str, dict[str, Any]]:
    match event:
        case RestoreStart():
            return "restoreStart", {
                "runtimeVersion": event.runtime_version,
                "runtimeVersionArn": event.runtime_version_arn,
                "functionName": event.function_name,
                "functionVersion": event.version,
            }
        case RestoreRuntimeDone():
            return "restoreRuntimeDone", {"status": event.status, "errorType": event.error_type}
        case RestoreReport():
            metrics = {"durationMs": _round(event.duration_ms)}
            return "restoreReport", {"status": event.status, "errorType": event.error_type, "metrics": metrics}
        case _:
            assert_never(event)


def _invoke_record(event: RuntimeDone | Report) -> tuple[str, dict[str, Any]]:
    common = {
        "requestId": event.request_id,
        "status": event.status,
        "errorType": event.error_type,
        "tracing": _tracing(event.tracing),
        "spans": [
            {"name": span.name, "start": format_time(round(span.start_ms)), "durationMs": _round(span.duration_ms)}
            for span in event.spans
        ],
    }
    metrics: dict[str, Any] = {"durationMs": _round(event.duration_ms)}
    match event:
        case RuntimeDone():
            metrics["producedBytes"] = event.produced_bytes
            kind = "runtimeDone"
        case Report():
            metrics["billedDurationMs"] = event.billed_ms
            metrics["memorySizeMB"] = event.memory_size_mb
            metrics["maxMemoryUsedMB"] = event.memory_used_mb
            if event.init_ms is not None:
                metrics["initDurationMs"] = _round(event.init_ms)
            if event.restore_ms is not None:
                metrics["restoreDurationMs"] = _round(event.restore_ms)
                metrics["billedRestoreDurationMs"] = math.ceil(event.restore_ms)
            kind = "report"
        case _:
            assert_never(event)
    return kind, {**common, "metrics": {name: value for name, value in metrics.items() if value is not None}}


def _tracing(tracing: Tracing | None) -> dict[str, str] | None:
    if tracing is None:
        return None
    members = {"type": "X-Amzn-Trace-Id", "value": tracing.value}
    return members if tracing.span_id is None else {"spanId": tracing.span_id, **members}


def _round(milliseconds: float) -> float:
    """Three digits, as AWS prints them: microseconds."""
    return round(milliseconds, 3)
