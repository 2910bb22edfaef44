"""The platform's own log events against the texts and records that AWS documents."""

from __future__ import annotations

import orjson
import pytest

from lambdad.telemetry.function_log import (
    Event,
    ExtensionState,
    InitReport,
    InitRuntimeDone,
    InitStart,
    InvokeStart,
    Level,
    LogFormatter,
    LogsDropped,
    Report,
    RestoreReport,
    RestoreRuntimeDone,
    RestoreStart,
    RuntimeDone,
    Span,
    TelemetrySubscription,
    Tracing,
    format_text,
    format_time,
    level_of,
    parse_level,
    stream_name,
    telemetry_record,
)
from lambdad.testing.telemetry_schema import check_event

REQUEST = "6d68ca91-49c9-448d-89b8-7ca3e6dc66aa"
NOON = 1_767_225_600_064
TRACE = Tracing(value="Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1", span_id="54565fb4")


TEXTS: list[tuple[Event, str | None]] = [
    (
        InitStart(function_name="f", version="$LATEST", runtime_version="python:3.12.v57", runtime_version_arn="a:b"),
        "INIT_START Runtime Version: python:3.12.v57\tRuntime Version ARN: a:b",
    ),
    (
        InitStart(function_name="f", version="1", runtime_version="python:3.11.7"),
        "INIT_START Runtime Version: python:3.11.7",
    ),
    (InitStart(function_name="f", version="1"), None),
    (InitRuntimeDone(), None),
    (InitReport(duration_ms=12.0), None),
    (
        InitReport(duration_ms=9999.5, status="timeout"),
        "INIT_REPORT Init Duration: 9999.50 ms\tPhase: init\tStatus: timeout",
    ),
    (
        InitReport(duration_ms=1.234, status="error", error_type="Extension.Crash", phase="invoke"),
        "INIT_REPORT Init Duration: 1.23 ms\tPhase: invoke\tStatus: error\tError Type: Extension.Crash",
    ),
    (InvokeStart(request_id=REQUEST, version="$LATEST"), f"START RequestId: {REQUEST} Version: $LATEST"),
    (RuntimeDone(request_id=REQUEST, duration_ms=1.0), f"END RequestId: {REQUEST}"),
    (
        Report(request_id=REQUEST, duration_ms=3.0101, memory_size_mb=128, memory_used_mb=36, init_ms=110.1),
        f"REPORT RequestId: {REQUEST}\tDuration: 3.01 ms\tBilled Duration: 114 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\tInit Duration: 110.10 ms\t",
    ),
    (
        Report(request_id=REQUEST, duration_ms=2.0, memory_size_mb=128, memory_used_mb=36),
        f"REPORT RequestId: {REQUEST}\tDuration: 2.00 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\t",
    ),
    (
        Report(
            request_id=REQUEST,
            duration_ms=3000.0,
            memory_size_mb=128,
            memory_used_mb=36,
            status="timeout",
            error_type="Sandbox.Timedout",
        ),
        f"REPORT RequestId: {REQUEST}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\tStatus: timeout",
    ),
    (
        Report(
            request_id=REQUEST,
            duration_ms=1.5,
            memory_size_mb=128,
            memory_used_mb=36,
            status="error",
            error_type="Runtime.ExitError",
            tracing=TRACE,
        ),
        f"REPORT RequestId: {REQUEST}\tDuration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\tStatus: error\tError Type: Runtime.ExitError\n"
        "XRAY TraceId: 1-62e900b2-710d76f009d6e7785905449a\tSegmentId: 54565fb4\tSampled: true",
    ),
    (
        Report(request_id=REQUEST, duration_ms=1.0, memory_size_mb=128, memory_used_mb=36, restore_ms=408.34),
        f"REPORT RequestId: {REQUEST}\tDuration: 1.00 ms\tBilled Duration: 410 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\tRestore Duration: 408.34 ms\tBilled Restore Duration: 409 ms\t",
    ),
    (
        RestoreStart(function_name="f", version="1", runtime_version="python:3.12.v57", runtime_version_arn="a:b"),
        "RESTORE_START Runtime Version: python:3.12.v57\tRuntime Version ARN: a:b",
    ),
    (RestoreRuntimeDone(), None),
    (RestoreReport(duration_ms=99.0), "RESTORE_REPORT Restore Duration: 99.00 ms"),
    (
        ExtensionState(name="n", state="Ready", events=("INVOKE", "SHUTDOWN")),
        "EXTENSION\tName: n\tState: Ready\tEvents: [INVOKE,SHUTDOWN]",
    ),
    (
        ExtensionState(name="n", state="LaunchError", error_type="Extension.LaunchError"),
        "EXTENSION\tName: n\tState: LaunchError\tEvents: []\tError Type: Extension.LaunchError",
    ),
    (
        TelemetrySubscription(name="n", state="Subscribed", types=("platform",), is_logs_api=True),
        "LOGS\tName: n\tState: Subscribed\tTypes: [platform]",
    ),
    (
        TelemetrySubscription(name="n", state="Subscribed", types=("platform",)),
        "TELEMETRY\tName: n\tState: Subscribed\tTypes: [platform]",
    ),
    (
        LogsDropped(reason="Too much", records=3, bytes=12_345),
        "LOGS_DROPPED Too much\tDropped Records: 3\tDropped Bytes: 12345",
    ),
]


@pytest.mark.parametrize(("event", "text"), TEXTS)
def test_an_event_reads_as_on_aws(event: Event, text: str | None) -> None:
    assert format_text(event) == text


RECORDS: list[tuple[Event, str, dict[str, object]]] = [
    (
        InitStart(function_name="f", version="1", runtime_version="python:3.11.7", memory_bytes=134217728),
        "platform.initStart",
        {
            "initializationType": "on-demand",
            "phase": "init",
            "runtimeVersion": "python:3.11.7",
            "functionName": "f",
            "functionVersion": "1",
            "instanceMaxMemory": 134217728,
        },
    ),
    (
        InitRuntimeDone(status="error", error_type="Runtime.ExitError"),
        "platform.initRuntimeDone",
        {"initializationType": "on-demand", "phase": "init", "status": "error", "errorType": "Runtime.ExitError"},
    ),
    (
        InitReport(duration_ms=125.33111),
        "platform.initReport",
        {
            "initializationType": "on-demand",
            "phase": "init",
            "status": "success",
            "metrics": {"durationMs": 125.331},
        },
    ),
    (
        RestoreStart(function_name="f", version="1"),
        "platform.restoreStart",
        {"functionName": "f", "functionVersion": "1"},
    ),
    (RestoreRuntimeDone(), "platform.restoreRuntimeDone", {"status": "success"}),
    (
        RestoreReport(duration_ms=70.87),
        "platform.restoreReport",
        {"status": "success", "metrics": {"durationMs": 70.87}},
    ),
    (
        InvokeStart(request_id=REQUEST, version="$LATEST", tracing=TRACE),
        "platform.start",
        {
            "requestId": REQUEST,
            "version": "$LATEST",
            "tracing": {"spanId": "54565fb4", "type": "X-Amzn-Trace-Id", "value": TRACE.value},
        },
    ),
    (
        RuntimeDone(
            request_id=REQUEST,
            duration_ms=140.0,
            produced_bytes=16,
            spans=(Span("responseLatency", NOON, 23.02),),
        ),
        "platform.runtimeDone",
        {
            "requestId": REQUEST,
            "status": "success",
            "spans": [{"name": "responseLatency", "start": "2026-01-01T00:00:00.064Z", "durationMs": 23.02}],
            "metrics": {"durationMs": 140.0, "producedBytes": 16},
        },
    ),
    (
        Report(
            request_id=REQUEST,
            duration_ms=220.12,
            memory_size_mb=128,
            memory_used_mb=90,
            init_ms=100.0,
            restore_ms=1.5,
            status="error",
            error_type="Runtime.ExitError",
        ),
        "platform.report",
        {
            "requestId": REQUEST,
            "status": "error",
            "errorType": "Runtime.ExitError",
            "metrics": {
                "durationMs": 220.12,
                "billedDurationMs": 322,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 90,
                "initDurationMs": 100.0,
                "restoreDurationMs": 1.5,
                "billedRestoreDurationMs": 2,
            },
        },
    ),
    (
        ExtensionState(name="n", state="Ready", events=("INVOKE",)),
        "platform.extension",
        {"name": "n", "state": "Ready", "events": ["INVOKE"]},
    ),
    (
        TelemetrySubscription(name="n", state="Subscribed", types=("platform", "function")),
        "platform.telemetrySubscription",
        {"name": "n", "state": "Subscribed", "types": ["platform", "function"]},
    ),
    (
        LogsDropped(reason="r", records=3, bytes=12),
        "platform.logsDropped",
        {"reason": "r", "droppedRecords": 3, "droppedBytes": 12},
    ),
]


@pytest.mark.parametrize(("event", "kind", "record"), RECORDS)
def test_an_event_has_the_record_of_the_telemetry_schema(event: Event, kind: str, record: dict[str, object]) -> None:
    assert telemetry_record(event, NOON) == {"time": "2026-01-01T00:00:00.064Z", "type": kind, "record": record}


@pytest.mark.parametrize(
    "event",
    [
        *(event for event, _, _ in RECORDS),
        *(event for event, _ in TEXTS),
        ExtensionState(name="n", state="LaunchError", error_type="PermissionDenied"),
        RuntimeDone(request_id=REQUEST, duration_ms=0.0, status="timeout", tracing=Tracing(value="Root=1-2-3")),
        RestoreRuntimeDone(status="timeout"),
        InitRuntimeDone(status="error", error_type="Runtime.ExitError", initialization_type="snap-start"),
    ],
)
def test_every_event_keeps_the_schema(event: Event) -> None:
    assert check_event(telemetry_record(event, NOON)) == []


def test_json_logs_hold_what_the_system_level_lets_through() -> None:
    done = RuntimeDone(request_id=REQUEST, duration_ms=1.0)
    failed = RuntimeDone(request_id=REQUEST, duration_ms=1.0, status="timeout")

    assert LogFormatter("JSON").format(done, NOON) is None
    shown = LogFormatter("JSON").format(failed, NOON)
    assert shown is not None and orjson.loads(shown)["record"]["status"] == "timeout"
    assert LogFormatter("JSON", Level.DEBUG).format(done, NOON) is not None
    assert LogFormatter("JSON", Level.WARN).format(InvokeStart(request_id=REQUEST, version="1"), NOON) is None


def test_text_logs_have_no_level() -> None:
    formatter = LogFormatter("Text", Level.WARN)
    assert formatter.format(InvokeStart(request_id="r", version="1"), NOON) == b"START RequestId: r Version: 1"
    assert formatter.format(InitRuntimeDone(), NOON) is None


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (InitStart(function_name="f", version="1"), Level.DEBUG),
        (InitStart(function_name="f", version="1", runtime_version="v"), Level.INFO),
        (InitRuntimeDone(), Level.DEBUG),
        (InitRuntimeDone(status="failure"), Level.WARN),
        (InitReport(duration_ms=1.0), Level.DEBUG),
        (InitReport(duration_ms=1.0, initialization_type="provisioned-concurrency"), Level.INFO),
        (InitReport(duration_ms=1.0, status="timeout"), Level.WARN),
        (ExtensionState(name="n", state="Ready"), Level.INFO),
        (ExtensionState(name="n", state="LaunchError", error_type="e"), Level.WARN),
        (TelemetrySubscription(name="n", state="s", types=()), Level.INFO),
        (RestoreReport(duration_ms=1.0), Level.INFO),
        (LogsDropped(reason="r", records=1, bytes=1), Level.WARN),
    ],
)
def test_an_event_has_the_level_that_aws_gives_it(event: Event, level: Level) -> None:
    assert level_of(event) == level


def test_initialisation_is_billed_and_rounded_up() -> None:
    report = Report(request_id="r", duration_ms=0.01, memory_size_mb=128, memory_used_mb=1, init_ms=99.99)
    assert report.billed_ms == 100
    assert Report(request_id="r", duration_ms=0.01, memory_size_mb=128, memory_used_mb=1).billed_ms == 1


def test_a_stream_is_named_by_day_version_and_sandbox() -> None:
    assert stream_name(NOON, "$LATEST", "0" * 32) == f"2026/01/01/[$LATEST]{'0' * 32}"


def test_times_have_three_digits_and_a_z() -> None:
    assert format_time(1_767_225_599_007) == "2025-12-31T23:59:59.007Z"


def test_levels_are_parsed_in_any_case() -> None:
    assert [parse_level("debug"), parse_level("WARN"), parse_level("loud"), parse_level(None)] == [
        Level.DEBUG,
        Level.WARN,
        Level.INFO,
        Level.INFO,
    ]
