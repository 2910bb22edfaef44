"""The watch beside the guest's pytest: quiet while tests come and go, loud when one stands still."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 60

QUICK = "def test_one(): pass\ndef test_two(): pass\n"
STILL = "import threading\ndef test_one(): pass\ndef test_that_waits(): threading.Event().wait()\n"


@contextmanager
def watching(pipe: Path, limit: float) -> Iterator[subprocess.Popen[str]]:
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "tests.vm.guest_watch", str(pipe), str(limit)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as watch:
        try:
            yield watch
        finally:
            watch.kill()


def run_pytest(tests: str, directory: Path) -> subprocess.CompletedProcess[str]:
    (directory / "test_some.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.vm.guest_watch"]
    return subprocess.run(
        [*command, f"--rootdir={directory}", str(directory / "test_some.py")],
        cwd=REPOSITORY,
        env={**os.environ, "LAMBDAD_TEST_WATCH": str(directory / "pipe"), "LAMBDAD_TEST_REPORT": ""},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_the_watch_ends_silently_with_the_run_that_it_watched(tmp_path: Path) -> None:
    with watching(tmp_path / "pipe", DEADLINE_S) as watch:
        assert run_pytest(QUICK, tmp_path).returncode == 0
        assert watch.communicate(timeout=DEADLINE_S) == ("", None)
        assert watch.returncode == 0


def test_a_test_that_stands_still_is_named_and_ended_with_the_stacks_of_its_threads(tmp_path: Path) -> None:
    with watching(tmp_path / "pipe", 3.0) as watch:
        ended = run_pytest(STILL, tmp_path)
        said, _ = watch.communicate(timeout=DEADLINE_S)
    assert ended.returncode < 0
    assert "in test_that_waits" in ended.stderr
    assert "nothing new for 3 s: test_some.py::test_that_waits" in said
    assert str(tmp_path) in said  # pytest's command line, among the processes
    assert watch.returncode == 1
