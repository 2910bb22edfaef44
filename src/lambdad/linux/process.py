"""What /proc tells of a process: for hosts without control groups to ask."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def pid_of(pidfd: int) -> int:
    """The process behind a descriptor, as a number that is right until it is reaped; 0 if it is gone."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "Pid":
            return max(0, int(value))
    return 0


def memory_of(pid: int) -> tuple[int, int]:
    """Peak and present size in memory, bytes; zeros if it has ended."""
    sizes = {"VmHWM": 0, "VmRSS": 0}
    for line in _read(pid, "status").splitlines():
        key, _, value = line.partition(":")
        if key in sizes:
            sizes[key] = 1024 * int(value.split()[0])
    return sizes["VmHWM"], sizes["VmRSS"]


def cpu_of(pid: int) -> int:
    """CPU time of the process and of its children that have ended, nanoseconds; 0 if it has ended."""
    # The command, in parentheses, may hold anything: what follows the last one is fields.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return _TICK_NS * sum(int(field) for field in fields[11:15])


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
