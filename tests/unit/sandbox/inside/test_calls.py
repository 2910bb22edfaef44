"""The calls of the first processes, each in a process of its own where it changes the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lambdad.sandbox.inside import calls

SOURCE = str(Path(calls.__file__).parents[3])


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_descriptors_but_the_named_ones_are_closed() -> None:
    code = f"""
import os, sys
sys.path.insert(0, {SOURCE!r})
from lambdad.sandbox.inside import calls
kept = [os.dup(0) for _ in range(20)]
calls.keep_only([0, 1, 2, kept[3], kept[7]])
print(sorted(int(name) for name in os.listdir("/proc/self/fd")) == sorted([0, 1, 2, 3, kept[3], kept[7]]), kept[0] == 3)
"""
    assert _run(code) == "True True\n"


def test_a_limit_is_never_above_the_hosts_own() -> None:
    code = f"""
import resource, sys
sys.path.insert(0, {SOURCE!r})
from lambdad.sandbox.inside import calls
resource.setrlimit(resource.RLIMIT_NOFILE, (500, 600))
calls.set_limit(calls.RLIMIT_NOFILE, 1024)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
calls.set_limit(calls.RLIMIT_NOFILE, 100)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    assert _run(code) == "(600, 600)\n(100, 100)\n"


def test_an_error_is_described_in_one_packet() -> None:
    assert calls.describe(OSError(1, "x" * 100_000)).startswith(b"PermissionError: [Errno 1] xxx")
    assert len(calls.describe(OSError(1, "x" * 100_000))) <= 4096
