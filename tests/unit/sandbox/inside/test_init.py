"""Process 1 of a cell, as far as it needs no rights: what it says of the processes that it reaps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.sandbox.inside import init

PROGRAM = """
import _socket, os, sys
sys.path.insert(0, {source!r})
from lambdad.sandbox.inside.init import reap
runtime = os.fork()
if runtime == 0:
    {end}
orphan = os.fork()
if orphan == 0:
    os._exit(7)
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
os.waitid(os.P_PID, runtime, os.WEXITED | os.WNOWAIT)
ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
reap(theirs, runtime, {{}})
theirs.close()
print([ours.recv(64), ours.recv(64)])
"""


@pytest.mark.parametrize(("end", "said"), [("os._exit(3)", b"exited 3 0"), ("os.kill(os.getpid(), 9)", b"exited -1 9")])
def test_it_reaps_every_process_and_tells_of_the_runtimes_alone(end: str, said: bytes) -> None:
    code = PROGRAM.format(source=str(Path(init.__file__).parents[3]), end=end)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{[said, b'']}\n"
