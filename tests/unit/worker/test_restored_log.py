"""The lines of an environment that was restored, as AWS has them."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.worker.worker_world import SPEC

from lambdad.model.invocation import Invocation
from lambdad.worker.outcome import Summary
from lambdad.worker.restored_log import RestoredLog


class Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def append(self, timestamp_ms: int, message: bytes) -> None:
        self.lines.append(message.decode())

    def close(self) -> None: ...


def make_log(log_format: str = "Text") -> tuple[RestoredLog, Writer]:
    writer = Writer()
    spec = replace(SPEC, initialization_type="snap-start", log_format=log_format)
    return RestoredLog(spec, "stream", writer, "python:3.12", lambda: 0), writer


def test_a_restore_is_told_and_reported_with_its_invocation() -> None:
    log, writer = make_log()
    log.init_start("init")
    log.init_done("init", 12.5, "success", "")
    summary = Summary(fault=None, init_ms=12.5, extensions_ms=None, duration_ms=2.0)
    log.report(Invocation(request_id="r", payload=b"", invoked_arn=""), summary, 40)
    assert writer.lines[:2] == [
        "RESTORE_START Runtime Version: python:3.12",
        "RESTORE_REPORT Restore Duration: 12.50 ms",
    ]
    assert "Init Duration" not in writer.lines[2]
    assert "\tRestore Duration: 12.50 ms\tBilled Restore Duration: 13 ms" in writer.lines[2]
    assert not log.timed_out


def test_a_restore_that_fails_says_how() -> None:
    log, writer = make_log()
    log.init_done("init", 10_000.0, "timeout", "")
    assert log.timed_out
    log, failed = make_log()
    log.init_done("init", 5.0, "error", "Runtime.AfterRestoreError")
    assert not log.timed_out
    assert writer.lines == ["RESTORE_REPORT Restore Duration: 10000.00 ms\tStatus: timeout"]
    assert failed.lines[0].endswith("\tStatus: error\tError Type: Runtime.AfterRestoreError")


def test_records_in_json_are_those_of_the_telemetry_api() -> None:
    log, writer = make_log("JSON")
    log.init_start("init")
    assert '"platform.restoreStart"' in writer.lines[0]
