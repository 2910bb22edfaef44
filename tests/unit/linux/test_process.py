from __future__ import annotations

import os
import subprocess
import sys

from lambdad.linux.process import cpu_of, memory_of, pid_of


def test_a_descriptor_names_its_process_until_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pidfd = os.pidfd_open(child.pid)
    try:
        assert pid_of(pidfd) == child.pid
        child.communicate(b"\n")
        assert pid_of(pidfd) == 0
    finally:
        os.close(pidfd)


def test_memory_and_cpu_of_a_process_are_told() -> None:
    peak, current = memory_of(os.getpid())
    assert peak >= current > 1024 * 1024
    before = cpu_of(os.getpid())
    while cpu_of(os.getpid()) == before:
        sum(range(10_000))
    assert cpu_of(os.getpid()) > before


def test_a_process_that_is_gone_used_nothing() -> None:
    assert (memory_of(2**22 + 1), cpu_of(2**22 + 1)) == ((0, 0), 0)
