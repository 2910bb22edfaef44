"""The log of one environment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.unit.worker.worker_world import SPEC, Records, invocation

from lambdad.worker.faults import Fault
from lambdad.worker.function_log import EnvironmentLog
from lambdad.worker.outcome import Done, Summary


def make(**changes: object) -> tuple[EnvironmentLog, Records]:
    records = Records()
    return EnvironmentLog(replace(SPEC, **changes), "stream", records, "python:3.11", lambda: 0), records  # type: ignore[arg-type]


def done(duration_ms: float, **members: Any) -> Done:
    ordinary: dict[str, Any] = {"fault": None, "size": 4, "latency_ms": duration_ms, "response_ms": 0.0}
    return Done(**{**ordinary, "overhead_ms": None, "duration_ms": duration_ms, **members})


def summary(duration_ms: float, **members: Any) -> Summary:
    ordinary: dict[str, Any] = {"fault": None, "init_ms": None, "extensions_ms": None}
    return Summary(**{**ordinary, "duration_ms": duration_ms, **members})


def test_the_tail_begins_with_the_request_and_holds_what_was_written_in_it() -> None:
    log, records = make()
    log.init_start("init")
    log.output(b"before\n")
    log.start(invocation())
    log.output(b"during, ")
    log.output(b"in two pieces\nunfinished")
    log.done(invocation(), done(1.5))
    log.report(invocation(), summary(1.5, init_ms=20.0), 64)
    lines = log.tail().decode().splitlines()
    assert lines[:4] == [
        "START RequestId: r1 Version: $LATEST",
        "during, in two pieces",
        "unfinished",
        "END RequestId: r1",
    ]
    assert "Duration: 1.50 ms\tBilled Duration: 22 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB" in lines[4]
    assert records.lines[:2] == ["INIT_START Runtime Version: python:3.11", "before"]


def test_a_fault_is_named_in_the_report() -> None:
    log, records = make()
    log.start(invocation())
    log.report(invocation(), summary(3000.0, fault=Fault("Sandbox.Timedout", "x", "timeout")), 64)
    assert records.lines[-1].endswith("\tStatus: timeout")


def test_json_records_are_objects() -> None:
    log, records = make(log_format="JSON")
    log.start(invocation())
    log.report(invocation(), summary(1.0), 64)
    log.init_done("init", 10_000.0, "timeout", "")
    log.init_done("init", 5.0, "success", "")
    kinds = [json.loads(line)["type"] for line in records.lines]
    assert kinds == ["platform.start", "platform.report", "platform.initRuntimeDone", "platform.initReport"]


def test_a_json_log_has_the_functions_records_from_its_level_on_and_the_platforms_from_theirs() -> None:
    log, records = make(log_format="JSON", application_log_level="WARN", system_log_level="WARN")
    log.init_start("init")
    log.start(invocation())
    for level in ("DEBUG", "INFO", "WARN", "ERROR"):
        log.output(b'{"timestamp":"2026-01-31T23:59:59Z","level":"%s"}\n' % level.encode())
    log.output(b"printed\n")
    log.extension_output("e", b"an extension's own\n")
    log.done(invocation(), done(1.0))
    log.report(invocation(), summary(1.0, fault=Fault("Sandbox.Timedout", "x", "timeout")), 64)
    *written, own, report = records.lines
    assert [json.loads(line)["level"] for line in written] == ["WARN", "ERROR"]
    assert (own, json.loads(report)["type"]) == ("an extension's own", "platform.report")


def test_text_has_no_levels() -> None:
    log, records = make(application_log_level="FATAL")
    log.output(b'{"timestamp":"2026-01-31T23:59:59Z","level":"DEBUG"}\n')
    assert len(records.lines) == 1


def test_closing_writes_what_was_not_finished() -> None:
    log, records = make()
    log.output(b"no line end")
    log.close()
    assert (records.lines, records.closed) == (["no line end"], True)


def test_a_repeated_init_phase_has_no_line_of_its_own_unless_it_fails() -> None:
    log, records = make()
    log.init_start("invoke")
    log.init_done("invoke", 5.0, "success", "")
    assert records.lines == []
    log.init_start("invoke")
    log.init_done("invoke", 4447.52, "error", "Extension.Crash")
    assert records.lines == [
        "INIT_REPORT Init Duration: 4447.52 ms\tPhase: invoke\tStatus: error\tError Type: Extension.Crash"
    ]


def test_extensions_lines_are_their_own_and_in_the_same_log() -> None:
    log, records = make()
    log.extension_output("a", b"one, ")
    log.extension_output("b", b"other\n")
    log.extension_output("a", b"two\nrest")
    log.detach()
    assert records.lines == ["other", "one, two", "rest"]


def test_the_parts_of_an_invocation_follow_each_other() -> None:
    log, records = make(log_format="JSON", system_log_level="DEBUG")
    log.start(invocation())
    log.done(invocation(), done(30.0, latency_ms=10.0, response_ms=15.0, overhead_ms=5.0, size=7))
    log.report(invocation(), summary(50.0, extensions_ms=20.0), 64)
    told = [json.loads(line)["record"] for line in records.lines]
    names = [[(span["name"], span["start"][-5:], span["durationMs"]) for span in one.get("spans", ())] for one in told]
    assert names == [
        [],
        [("responseLatency", ".000Z", 10.0), ("responseDuration", ".010Z", 15.0), ("runtimeOverhead", ".025Z", 5.0)],
        [("extensionOverhead", ".030Z", 20.0)],
    ]
    assert told[1]["metrics"] == {"durationMs": 30.0, "producedBytes": 7}
