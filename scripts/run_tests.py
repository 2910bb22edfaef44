"""Every check of the project, stage by stage: `run_tests.py [STAGE...]`, by default all.

All stages run even when one has failed, so that one log shows everything; the exit code tells whether all passed.
Tests that share the machine with others are sensitive to its load: those that fail are run once more, alone, and the
end of the log names the ones that passed only then. A test that fails twice fails the run.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
CLOSING_LINE = re.compile(r"^=* ?\d+ (passed|failed|skipped|error).* in [\d.]+s.*$")
NOTICE = "NOTICE: "
"""Begins a line of a stage that the summary repeats."""
COLOUR = re.compile(r"\x1b\[[\d;]*m")
PYTHON = sys.executable
PYTEST = (PYTHON, "-m", "pytest", "-q")
RETRY_LIMIT = 25
"""More failures than this are no accident of load: they are not run again."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One command, or several in a row.

    suites: paths of tests that are appended to the command; those without tests yet are left out.
    limit: seconds, then it is killed and has failed.
    retry: the command that runs single tests again, their ids are appended; empty: failures stand.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    suites: tuple[str, ...] = ()
    limit: float = 600.0
    retry: tuple[str, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What came of a stage. reports: an object for each test, as tests/conftest.py writes them."""

    stage: Stage
    passed: bool = False
    seconds: float = 0.0
    closing: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    second_attempt: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    note: str = ""

    def tests(self, outcome: str) -> list[str]:
        return [report["nodeid"] for report in self.reports if report["outcome"] == outcome]


def _ruff(*arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-m", "ruff", *arguments)


STAGES = (
    Stage("lint", (_ruff("check"), _ruff("format", "--check"))),
    Stage(
        "types",
        ((PYTHON, "-m", "mypy"), (PYTHON, "-m", "mypy", "-p", "bench", "-p", "tests.vm", "-p", "tests.architecture")),
    ),
    Stage("contracts", (("lint-imports", "--no-cache"),)),
    Stage("architecture", (PYTEST,), ("tests/architecture",)),
    Stage("unit", ((*PYTEST, "-n", "auto"),), ("tests/unit", "tests/property"), limit=900, retry=PYTEST),
    Stage("kernel", (PYTEST,), ("tests/kernel", "tests/conformance"), limit=900, retry=PYTEST),
    Stage("api", ((*PYTEST, "-n", "2", "--dist", "loadfile"),), ("tests/api",), limit=1200, retry=PYTEST),
    Stage("hostile", (PYTEST,), ("tests/hostile",), limit=900, retry=PYTEST),
    Stage("guest", ((PYTHON, "-m", "tests.vm", "-q"),), limit=1800, retry=(PYTHON, "-m", "tests.vm", "-q")),
    Stage("boot", (PYTEST,), ("tests/boot",), limit=900, retry=PYTEST),
)


def main(names: Sequence[str]) -> int:
    unknown = set(names) - {stage.name for stage in STAGES}
    if unknown:
        print(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(stage.name for stage in STAGES)}")
        return 2
    os.chdir(REPOSITORY)
    # A shell that runs us in the background has Ctrl-C ignored in us, and what we start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["PATH"] = os.pathsep.join((str(Path(PYTHON).parent), os.environ["PATH"], "/usr/sbin", "/sbin"))
    outcomes = [_run_stage(stage) for stage in STAGES if not names or stage.name in names]
    _summarise(outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _run_stage(stage: Stage) -> Outcome:
    print(f"\n──── {stage.name} ────", flush=True)
    outcome = Outcome(stage)
    suites = [suite for suite in stage.suites if any((REPOSITORY / suite).rglob("test_*.py"))]
    if stage.suites and not suites:
        outcome.passed, outcome.note = True, "no tests there yet"
        return outcome
    started = time.monotonic()
    codes = [_execute([*command, *suites], stage.limit, outcome) for command in stage.commands]
    outcome.passed = not any(codes)
    if not outcome.passed and stage.retry:
        _try_again(outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def _execute(command: Sequence[str], limit: float, outcome: Outcome) -> int:
    """Run it, show its output as it comes, keep pytest's closing line and reports. Returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="lambdad-report-") as temporary:
        report = Path(temporary) / "report.json"
        environment = {**os.environ, "LAMBDAD_TEST_REPORT": str(report)}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        timer = threading.Timer(limit, _expire, (process, limit, outcome))
        timer.start()
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                print(line, flush=True)
                if line.startswith(NOTICE):
                    outcome.notices.append(line.removeprefix(NOTICE))
                if CLOSING_LINE.match(COLOUR.sub("", line)):
                    outcome.closing.append(COLOUR.sub("", line).strip("= "))
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
        if report.exists():
            outcome.reports += json.loads(report.read_text())
    return code


def _expire(process: subprocess.Popen[bytes], limit: float, outcome: Outcome) -> None:
    outcome.note = f"killed after {limit:.0f} s"
    os.killpg(process.pid, signal.SIGKILL)


def _try_again(outcome: Outcome) -> None:
    """Failed tests alone. A file that could not even be collected, or a run that was killed, is not tried again."""
    failed = outcome.tests("failed")
    if not failed or len(failed) > RETRY_LIMIT or outcome.tests("broken") or outcome.note:
        return
    print(f"\n──── {outcome.stage.name}: once more, alone: {len(failed)} ────", flush=True)
    first = outcome.reports
    outcome.reports = []
    code = _execute([*outcome.stage.retry, *failed], outcome.stage.limit, outcome)
    again = {report["nodeid"]: report for report in outcome.reports}
    outcome.reports = [again.get(report["nodeid"], report) for report in first]
    outcome.second_attempt = [nodeid for nodeid in failed if nodeid not in outcome.tests("failed")]
    outcome.passed = code == 0


def _summarise(outcomes: Sequence[Outcome]) -> None:
    print("\n──── summary ────")
    for outcome in outcomes:
        word = "ok" if outcome.passed else "FAILED"
        detail = "; then ".join(outcome.closing) or outcome.note
        print(f"{outcome.stage.name:14}{word:8}{outcome.seconds:7.0f} s   {detail}")
    skipped = Counter(
        (report["reason"], outcome.stage.name)
        for outcome in outcomes
        for report in outcome.reports
        if report["outcome"] == "skipped"
    )
    for (reason, stage), count in sorted(skipped.items(), key=lambda item: -item[1]):
        print(f"skipped: {count} in {stage}: {reason}")
    for outcome in outcomes:
        for notice in outcome.notices:
            print(f"NOTICE, in {outcome.stage.name}: {notice}")
        for nodeid in outcome.second_attempt:
            print(f"passed only on the second attempt, in {outcome.stage.name}: {nodeid}")
        for nodeid in outcome.tests("failed") + outcome.tests("broken"):
            print(f"failed, in {outcome.stage.name}: {nodeid}")
    totals = Counter(report["outcome"] for outcome in outcomes for report in outcome.reports)
    failed = totals["failed"] + totals["broken"]
    if totals:
        print(f"{totals['passed']} passed, {failed} failed, {totals['skipped']} skipped")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
