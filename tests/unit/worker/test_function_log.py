"""The log of one environment."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.unit.worker.worker_world import SPEC, Records, invocation

from lambdad.worker.faults import Fault
from lambdad.worker.function_log import EnvironmentLog


def make(**changes: object) -> tuple[EnvironmentLog, Records]:
    records = Records()
    return EnvironmentLog(replace(SPEC, **changes), "stream", records, "python:3.11", lambda: 0), records  # type: ignore[arg-type]


def test_the_tail_begins_with_the_request_and_holds_what_was_written_in_it() -> None:
    log, records = make()
    log.init_start("init")
    log.output(b"before\n")
    log.start(invocation())
    log.output(b"during, ")
    log.output(b"in two pieces\nunfinished")
    log.done(invocation(), 1.5, None, 4)
    log.report(invocation(), 1.5, 20.0, None, 64)
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
    log.report(invocation(), 3000.0, None, Fault("Sandbox.Timedout", "x", "timeout"), 64)
    assert records.lines[-1].endswith("\tStatus: timeout")


def test_json_records_are_objects() -> None:
    log, records = make(log_format="JSON")
    log.start(invocation())
    log.report(invocation(), 1.0, None, None, 64)
    log.init_done("init", 10_000.0, "timeout", "")
    log.init_done("init", 5.0, "success", "")
    kinds = [json.loads(line)["type"] for line in records.lines]
    assert kinds == ["platform.start", "platform.report", "platform.initRuntimeDone", "platform.initReport"]


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
