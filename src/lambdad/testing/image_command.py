"""`lambdad image` as a command of its own: run to its end, or until the test has seen enough of it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEADLINE_S = 120


@dataclass(frozen=True, slots=True)
class Running:
    """line: the first that it printed, without its end."""

    line: str
    process: subprocess.Popen[str]


def run_image(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """To its end, whatever that is."""
    return subprocess.run(_command(arguments), capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@contextlib.contextmanager
def image_running(*arguments: str | Path) -> Iterator[Running]:
    """Until Ctrl-C, which it must obey with status 0, unless it has ended by then."""
    with subprocess.Popen(_command(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            yield Running(process.stdout.readline().rstrip("\n"), process)
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                rest = process.stdout.read()
                assert process.wait(DEADLINE_S) == 0, rest
        finally:
            process.kill()


def _command(arguments: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-m", "lambdad", "image", *map(str, arguments)]
