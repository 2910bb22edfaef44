"""The native driver as an ordinary user: the contract holds as far as the host allows, and what it does not is said."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lambdad.testing.leftovers import list_holdings
from lambdad.testing.probes import can_make_user_namespaces, is_root, skip_unless

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_make_user_namespaces())]

WORKER = Path(__file__).with_name("rootless_worker.py")


@pytest.fixture(scope="module")
def report() -> dict[str, object]:
    # Not below pytest's own directory, which is for its user alone.
    with tempfile.TemporaryDirectory(prefix="lambdad-rootless-") as directory:
        done = subprocess.run([sys.executable, str(WORKER), directory], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert not list_holdings(Path(directory, "state")).processes
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_contract_holds(report: dict[str, object]) -> None:
    assert report["failures"] == {}


def test_every_missing_wall_is_named(report: dict[str, object]) -> None:
    weaknesses = report["weaknesses"]
    assert isinstance(weaknesses, list)
    for word in ("Memory", "CPU time", "number of processes", "SIGSTOP", "worker's own user", "/tmp"):
        assert [text for text in weaknesses if word in text], word
