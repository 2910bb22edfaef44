"""`lambdad invoke` prints the payload to standard output and everything about it to standard error."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def function(fake: Any) -> None:
    fake.functions["f"] = {"FunctionName": "f"}


def test_the_payload_is_printed_as_it_came(fake: Any, lambdad: Command) -> None:
    fake.answer["Payload"] = b'{"a":  1}'
    assert lambdad("invoke", "f", "-e", '{"x": 1}') == (0, '{"a":  1}', "")
    assert fake.parameters("Invoke") == {
        "FunctionName": "f",
        "InvocationType": "RequestResponse",
        "Payload": b'{"x": 1}',
    }


def test_an_event_comes_from_a_file_or_standard_input(
    fake: Any, lambdad: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "event.json").write_bytes(b"[1]")
    assert lambdad("invoke", "f", "-e", f"@{tmp_path}/event.json")[0] == 0
    assert fake.parameters("Invoke")["Payload"] == b"[1]"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"[2]")))
    assert lambdad("invoke", "f", "-e", "-")[0] == 0
    assert fake.parameters("Invoke")["Payload"] == b"[2]"
    status, _, err = lambdad("invoke", "f", "-e", "@/no/such/file")
    assert (status, err) == (1, "error: cannot read /no/such/file: No such file or directory\n")


def test_an_error_of_the_function_is_exit_status_1(fake: Any, lambdad: Command) -> None:
    fake.answer |= {"FunctionError": "Unhandled", "Payload": b'{"errorMessage": "no"}'}
    assert lambdad("invoke", "f") == (1, '{"errorMessage": "no"}', "the function failed: Unhandled\n")


def test_the_tail_of_the_log_goes_to_standard_error(fake: Any, lambdad: Command) -> None:
    fake.answer["LogResult"] = base64.b64encode(b"START\nhello\x1b[2J\tx\nEND\n").decode()
    status, out, err = lambdad("invoke", "f", "--tail", "--qualifier", "live")
    assert (status, out, err) == (0, '{"ok": true}', "START\nhello[2J\tx\nEND\n")
    parameters = fake.parameters("Invoke")
    assert (parameters["LogType"], parameters["Qualifier"]) == ("Tail", "live")


def test_timings_are_shown_by_phase(fake: Any, lambdad: Command) -> None:
    fake.timings = '{"total": 12.5, "queue": 0.1, "extra": 1, "init": 9}'
    status, out, err = lambdad("invoke", "f", "--timings")
    assert (status, out) == (0, '{"ok": true}')
    lines = [line.split() for line in err.splitlines()]
    assert lines[:-1] == [
        ["Phase", "Time"],
        ["queue", "0.10", "ms"],
        ["init", "9.00", "ms"],
        ["total", "12.50", "ms"],
        ["extra", "1.00", "ms"],
    ]
    assert lines[-1][0] == "client"


def test_a_server_without_timings_still_gives_the_clients(fake: Any, lambdad: Command) -> None:
    fake.timings = "{broken"
    assert [line.split()[0] for line in lambdad("invoke", "f", "--timings")[2].splitlines()] == ["Phase", "client"]


def test_an_asynchronous_call_and_a_dry_run_print_no_payload(fake: Any, lambdad: Command) -> None:
    assert lambdad("invoke", "f", "--async") == (0, "", "accepted: 11111111-2222-3333-4444-555555555555\n")
    assert fake.parameters("Invoke")["InvocationType"] == "Event"
    assert lambdad("invoke", "f", "--dry-run", "--tail") == (0, "", "allowed\n")
    assert fake.parameters("Invoke")["InvocationType"] == "DryRun"
    assert lambdad("invoke", "f", "--dry-run", "--async")[0] == 2


def test_json_holds_the_whole_answer(fake: Any, lambdad: Command) -> None:
    fake.answer |= {"FunctionError": "Unhandled", "LogResult": base64.b64encode(b"a\nb\n").decode()}
    fake.timings = '{"total": 2}'
    status, out, _ = lambdad("invoke", "f", "--json", "--tail")
    document = json.loads(out)
    assert status == 1
    assert document.pop("Timings")["total"] == 2
    assert document == {
        "StatusCode": 200,
        "RequestId": "11111111-2222-3333-4444-555555555555",
        "ExecutedVersion": "$LATEST",
        "FunctionError": "Unhandled",
        "Payload": {"ok": True},
        "Log": "a\nb",
    }


def test_a_function_that_does_not_exist_is_one_line(lambdad: Command) -> None:
    assert lambdad("invoke", "g") == (1, "", "error: ResourceNotFoundException: Function not found: g\n")
