"""What all suites share: a real node for the API tests, and a run that ends by saying what was skipped and why.

`LAMBDAD_TEST_REPORT=FILE` makes the run write one JSON list there, an object for each test: nodeid, outcome
(`passed`, `failed`, `skipped`), reason, seconds. `scripts/run_tests.py` and the QEMU guest read it.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# `bench` and `tests.vm` are packages of the repository, not of the distribution.
sys.path.insert(0, str(Path(__file__).parents[1]))

from lambdad.testing.local_node import LocalNode
from lambdad.testing.shapes import watch


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    """A running `lambdad up`, shared by the session; at its end nothing of it may be left on the host."""
    started = LocalNode.start(tmp_path_factory.mktemp("node") / "data")
    yield started
    if started.process.poll() is not None:
        pytest.fail(f"the node died during the session:\n{started.output_tail()}")
    assert started.stop() == []


@pytest.fixture(scope="session")
def lambda_client(node: LocalNode) -> Any:
    """boto3's Lambda client of the shared node; whatever it is answered is held against the service model."""
    return watch(node.client())


class _Outcomes:
    """Collects one outcome a test, whichever phase it came from."""

    def __init__(self) -> None:
        self.by_test: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        entry = self.by_test.setdefault(report.nodeid, {"nodeid": report.nodeid, "outcome": "passed", "seconds": 0.0})
        entry["seconds"] += report.duration
        if report.failed:
            entry["outcome"] = "failed"
        elif report.skipped and entry["outcome"] == "passed":
            entry["outcome"] = "skipped"
            entry["reason"] = _reason(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.by_test[report.nodeid] = {"nodeid": report.nodeid, "outcome": "broken", "seconds": 0.0}
        elif report.skipped:
            skipped = {"nodeid": report.nodeid, "outcome": "skipped", "seconds": 0.0, "reason": _reason(report)}
            self.by_test[report.nodeid] = skipped


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return getattr(report, "wasxfail", "") or str(report.longrepr)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # under xdist the controller sees every report, the workers only their own
        config.pluginmanager.register(_Outcomes(), "lambdad-outcomes")
        config.option.reportchars = "fE"  # skips have a section of their own below


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    outcomes = config.pluginmanager.get_plugin("lambdad-outcomes")
    if outcomes is None:
        return
    reasons = Counter(entry["reason"] for entry in outcomes.by_test.values() if entry["outcome"] == "skipped")
    if reasons:
        terminalreporter.section("skipped, and why")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5} x {reason}")


def pytest_unconfigure(config: pytest.Config) -> None:
    outcomes = config.pluginmanager.get_plugin("lambdad-outcomes")
    path = os.environ.get("LAMBDAD_TEST_REPORT")
    if outcomes is not None and path:
        Path(path).write_text(json.dumps(list(outcomes.by_test.values())))
