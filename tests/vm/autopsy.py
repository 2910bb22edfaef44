"""Where a guest stands that stands still: QEMU's threads, the guest's processors, and a panic that names every task.

The panic is the answer to a non-maskable interrupt: a kernel answers that when nothing else in it runs any more.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

PARAMETERS = "nokaslr unknown_nmi_panic panic_print=0x41 softlockup_all_cpu_backtrace=1"
"""Of the guest's kernel: addresses are those of its symbols; the interrupt is a panic; a panic prints all tasks and
where all processors are."""

_ANSWER_S = 5.0
_PROMPT = b"(qemu) "
_WORTH_SHOWING = ("VM status", "CPU#", "RIP=", "RSP=", "RSI=", "RAX=", "R8 =", "R12=")


def examine(pid: int, monitor: Path) -> Iterator[str]:
    """Lines about the QEMU of this process id; the last thing done is the interrupt. Never raises."""
    yield "──── the guest stands still: QEMU's threads, the guest's processors, then its own panic ────"
    yield from _threads(pid)
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(monitor))
            _answer(connection)
            for command in ("info status", "info registers -a", "info registers -a", "nmi"):  # twice: do they move?
                connection.sendall(command.encode() + b"\n")
                for line in _answer(connection).decode(errors="replace").splitlines():
                    if any(word in line for word in _WORTH_SHOWING):
                        yield line.strip()
    except OSError as error:
        yield f"QEMU's monitor does not answer: {error}"


def _answer(connection: socket.socket) -> bytes:
    """Until the next prompt."""
    data = b""
    while not data.endswith(_PROMPT):
        piece = connection.recv(65536)
        if not piece:
            raise OSError("it closed the connection")
        data += piece
    return data.removesuffix(_PROMPT)


def _threads(pid: int) -> Iterator[str]:
    """Name, state, seconds of processor time and place in our kernel of each thread."""
    ticks = os.sysconf("SC_CLK_TCK")
    for task in sorted(Path(f"/proc/{pid}/task").glob("*")):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            used = (int(fields[11]) + int(fields[12])) / ticks
            name, place = (task / "comm").read_text().strip(), (task / "wchan").read_text()
            yield f"thread {task.name} {name}: state {fields[0]}, {used:.1f} s of processor time, in {place}"
