"""The conformance suite passes the runtimes that keep to the contract, and names what the others do wrong."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from lambdad.testing.runtime_conformance import CASES, CaseResult, Verdict, runtime_conformance
from lambdad.testing.waiting import wait_until

CLIENT = """#!{python} -S
import json, os, sys, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
def post(path, value):
    urllib.request.urlopen(base + path, json.dumps(value).encode()).read()
if os.environ.get("CONFORMANCE_INIT_ERROR"):
    post("init/error", {{"errorMessage": "asked to", "errorType": "Init"}})
    sys.exit(1)
while True:
    with urllib.request.urlopen(base + "invocation/next") as answer:
        event, headers = json.load(answer), answer.headers
    path = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    what = event["conformance"]
    if what == "echo":
        post(path + "/response", {echo})
    elif what == "deadline":
        post(path + "/response", {{"deadline_ms": int(headers["Lambda-Runtime-Deadline-Ms"])}})
    else:
        post(path + "/error", {{"errorMessage": what, "errorType": "Unknown"}})
"""

OFFICIAL = """import json, os
if os.environ.get("CONFORMANCE_INIT_ERROR"):
    raise RuntimeError("asked to")
import time
def handler(event, context):
    what = event["conformance"]
    if what == "echo":
        return event
    raise ValueError(what)
"""


def run(program: Path, text: str, patience: float = 60.0) -> dict[str, CaseResult]:
    program.write_text(text)
    program.chmod(0o755)
    return {result.case: result for result in asyncio.run(runtime_conformance(program, patience=patience))}


def test_a_runtime_of_twenty_lines_passes_all_that_it_supports(tmp_path: Path) -> None:
    results = run(tmp_path / "bootstrap", CLIENT.format(python=sys.executable, echo="event"))

    unsupported = {name for name, result in results.items() if result.verdict is Verdict.UNSUPPORTED}
    assert unsupported == {"stream", "stream-error"}
    assert [result for result in results.values() if result.verdict is Verdict.FAILED] == []
    assert list(results) == [case.name for case in CASES]


def test_a_runtime_that_changes_the_event_fails_where_it_shows(tmp_path: Path) -> None:
    results = run(tmp_path / "bootstrap", CLIENT.format(python=sys.executable, echo='{"other": 1}'))

    assert results["three-invokes"].verdict is Verdict.FAILED
    assert "came back changed" in results["three-invokes"].detail
    assert results["init-error"].verdict is Verdict.PASSED


def test_a_runtime_that_exits_at_once_is_told_its_status_and_last_words(tmp_path: Path) -> None:
    results = run(tmp_path / "bootstrap", "#!/bin/sh\necho no interpreter here\nexit 3\n")

    assert "ended with 3" in results["utf-8"].detail
    assert "no interpreter here" in results["utf-8"].detail
    assert results["next-refused"].verdict is Verdict.PASSED


def test_a_runtime_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f'#!/bin/sh\nsleep 1000 &\necho $! >> "{pids}"\nwait\n'
    results = run(tmp_path / "bootstrap", program, patience=0.5)

    assert {result.verdict for result in results.values()} == {Verdict.FAILED}
    assert "no answer within 0.5 s" in results["utf-8"].detail
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not _lives(pid), f"the end of process {pid}")  # type: ignore[misc]


def _lives(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_cannot_be_started_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        run(tmp_path / "bootstrap", "#!/no/such/interpreter\n")


def test_the_python_client_of_aws_keeps_to_the_contract(tmp_path: Path) -> None:
    (tmp_path / "conformance.py").write_text(OFFICIAL)
    results = run(tmp_path / "bootstrap", f'#!/bin/sh\nexec "{sys.executable}" -m awslambdaric conformance.handler\n')

    expected = {"three-invokes", "utf-8", "large-body", "error", "freeze", "init-error", "next-refused"}
    assert {name: results[name] for name in expected if results[name].verdict is not Verdict.PASSED} == {}
