"""Looks at the guest's pytest from outside: a test that stands still is shown with all that runs, then ended.

A process of its own, started by guest-init.sh before pytest: it still runs when pytest's threads do not. pytest tells
it through a FIFO which test begins (`-p tests.vm.guest_watch`, and the FIFO's path in LAMBDAD_TEST_WATCH).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

VARIABLE = "LAMBDAD_TEST_WATCH"
LIMIT_S = 240.0
"""For one test, or for what is before the first and after the last. The slowest take some thirty seconds."""
SLOW_S = 10.0
"""A test that took as long has a line of its own on the console."""
_SAMPLE_S = 1.0
_END_S = 20.0
_STACK_LINES = 12
_COMMAND_MAX = 150


class _Told:
    """The plugin: tells the watch what pytest does, and the reader of the console which tests took long."""

    def __init__(self, pipe: IO[str], terminal: pytest.TerminalReporter) -> None:
        self._pipe = pipe
        self._terminal = terminal
        self._began = 0.0
        self._tell(str(os.getpid()))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._began = time.monotonic()
        self._tell(nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        seconds = time.monotonic() - self._began
        if seconds >= SLOW_S:
            self._terminal.write_line(f"{seconds:.0f} s: {nodeid}")

    def pytest_sessionfinish(self) -> None:
        self._tell("after the last test")

    def _tell(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the watch has gone: the run goes on without it
            print(text, file=self._pipe, flush=True)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.pop(VARIABLE, "")
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if path and terminal is not None:
        pipe = open(path, "w")  # noqa: SIM115  # for as long as pytest runs
        config.pluginmanager.register(_Told(pipe, terminal), "lambdad-guest-watch")


def main() -> int:
    """`python -m tests.vm.guest_watch FIFO [SECONDS]`: until pytest is done. Status 1 if it had to be ended."""
    limit = float(sys.argv[2]) if len(sys.argv) > 2 else LIMIT_S
    with open(sys.argv[1], "rb", buffering=0) as pipe:  # opening waits for pytest
        told = b""
        while select.select([pipe], [], [], limit)[0]:
            piece = pipe.read(65536)
            if not piece:
                return 0
            lines = (told + piece).splitlines(keepends=True)
            # The first line is the process, the last one what it does.
            told = b"".join([lines[0], *lines[1:][-1:]])
    pid, _, doing = told.decode().partition("\n")
    print(f"\n──── nothing new for {limit:.0f} s: {doing.strip() or 'before the first test'} ────", flush=True)
    for line in describe_processes(int(pid)):
        print(line, flush=True)
    _end(int(pid))
    return 1


def describe_processes(watched: int) -> Iterator[str]:
    """All that runs here: state, share of a processor in this second, place in the kernel; the stacks of some."""
    before = {process.pid: process for process in _processes()}
    threading.Event().wait(_SAMPLE_S)
    yield f"load {Path('/proc/loadavg').read_text().strip()}; {_free_memory()}"
    for process in _processes():
        earlier = before.get(process.pid, process)
        share = 100 * (process.ticks - earlier.ticks) / (os.sysconf("SC_CLK_TCK") * _SAMPLE_S)
        yield (
            f"{process.pid:6} under {process.parent:6} {process.state} {share:4.0f} % {process.place} {process.command}"
        )
        if process.pid == watched or process.state == "D":
            yield from (f"       {line}" for line in _kernel_stack(process.pid))


def _end(pid: int) -> None:
    """With SIGABRT, to which faulthandler answers with the stacks of all threads; then with more."""
    for number in (signal.SIGABRT, signal.SIGKILL):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], _END_S)[0]:
                return
        finally:
            os.close(descriptor)
    print(f"──── {pid} does not even obey SIGKILL ────", flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    """ticks: of processor time. place: where it waits in the kernel; 0 if it runs."""

    pid: int
    parent: int
    state: str
    ticks: int
    place: str
    command: str


def _processes() -> Iterator[_Process]:
    for directory in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            yield _Process(
                pid=int(directory.name),
                parent=int(fields[1]),
                state=fields[0],
                ticks=int(fields[11]) + int(fields[12]),
                place=(directory / "wchan").read_text(),
                command=command[:_COMMAND_MAX].strip() or f"[{(directory / 'comm').read_text().strip()}]",
            )


def _kernel_stack(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stack").read_text().splitlines()[:_STACK_LINES]
    except OSError as error:
        return [f"no kernel stack: {error}"]


def _free_memory() -> str:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next((line for line in lines if line.startswith("MemAvailable")), "")


if __name__ == "__main__":
    sys.exit(main())
