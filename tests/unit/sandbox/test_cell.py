"""Cells against a scripted launcher: every order of events that the other side can bring about."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from lambdad.linux.cgroup import Cgroup
from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import ExitStatus, SandboxError, StartError
from lambdad.sandbox.packets import PacketReader, packet_pair, receive_packet
from lambdad.testing.waiting import wait_until_async

DEADLINE_S = 30.0


class Script:
    """The other side of one cell: the launcher, process 1 (a process that waits) and the runtime process."""

    def __init__(self, launcher: socket.socket) -> None:
        data, (control, launch) = receive_packet(launcher)
        assert data == b"cell"
        self.control = socket.socket(fileno=control)
        self.launch = socket.socket(fileno=launch)
        self.init = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def forked(self) -> None:
        self._send(b"forked", [os.pidfd_open(self.init.pid)])

    def ready(self) -> None:
        listener = socket.socket()
        socket.send_fds(self.control, [b"ready"], [listener.fileno(), pidfd := os.pidfd_open(self.init.pid)])
        os.close(pidfd)
        listener.close()

    def end_init(self) -> None:
        self.init.kill()
        self.init.wait()

    def close(self) -> None:
        self.control.close()
        self.launch.close()
        self.end_init()
        assert self.init.stdin is not None
        self.init.stdin.close()

    def _send(self, word: bytes, fds: list[int]) -> None:
        socket.send_fds(self.control, [word], fds)
        for fd in fds:
            os.close(fd)


def with_cell(scenario: Callable[[Cell, Script], Awaitable[None]]) -> None:
    async def run() -> None:
        ours, theirs = packet_pair()
        launcher = PacketReader(asyncio.get_running_loop(), ours, lambda data, fds: None)
        cell = Cell(asyncio.get_running_loop(), Cgroup({}, {}), launcher)
        script = Script(theirs)
        try:
            await asyncio.wait_for(scenario(cell, script), DEADLINE_S)
        finally:
            cell.kill()
            script.close()
            await asyncio.wait_for(cell.removed, DEADLINE_S)
            if cell.listener is not None:
                cell.listener.close()
            launcher.close()
            theirs.close()

    asyncio.run(run())


def test_a_cell_is_usable_once_it_is_ready() -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        assert not cell.is_usable
        script.forked()
        script.ready()
        await cell.ready
        assert cell.is_usable
        assert cell.listener is not None

    with_cell(scenario)


def test_starting_succeeds_when_the_process_went_and_closed() -> None:
    """A close alone is a death: a program that took over leaves the word first."""

    async def scenario(cell: Cell, script: Script) -> None:
        script.forked()
        script.ready()
        await cell.ready
        started = cell.start(b"orders", [0])
        data, fds = receive_packet(script.launch)
        os.close(*fds)
        assert data == b"orders"
        script.launch.send(b"going")
        script.launch.close()
        await started
        assert not cell.is_usable

    with_cell(scenario)


@pytest.mark.parametrize(
    ("words", "kind", "text"),
    [
        (
            [b"going", b"error Runtime.InvalidEntrypoint fork/exec x: no"],
            "Runtime.InvalidEntrypoint",
            "fork/exec x: no",
        ),
        ([b"error Runtime.InvalidWorkingDir chdir"], "Runtime.InvalidWorkingDir", "chdir"),
        ([b"error - OSError: mount"], None, "starting a cell failed: OSError: mount"),
        ([], None, "ended before the function's program ran"),
        ([b"\xff\xff nonsense"], None, "ended before the function's program ran"),
    ],
)
def test_a_failed_start_is_told(words: list[bytes], kind: str | None, text: str) -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        script.forked()
        script.ready()
        await cell.ready
        started = cell.start(b"orders", [])
        for word in words:
            script.launch.send(word)
        script.launch.close()
        with pytest.raises(SandboxError, match=text) as caught:
            await started
        assert (caught.value.kind if isinstance(caught.value, StartError) else None) == kind

    with_cell(scenario)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"exited 3 0", ExitStatus(3, None)),
        (b"exited -1 9", ExitStatus(None, 9)),
        (b"exited what", ExitStatus(None, 9)),
        (b"exited 1 2 3", ExitStatus(None, 9)),
    ],
)
def test_the_end_of_the_runtime_process_is_told(words: bytes, status: ExitStatus) -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        script.forked()
        script.ready()
        await cell.ready
        script.control.send(words)
        assert await cell.exited == status
        script.control.send(b"exited 77 0")
        assert not cell.is_usable

    with_cell(scenario)


def test_the_end_of_process_one_is_the_end_of_the_cell() -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        script.forked()
        script.ready()
        await cell.ready
        started = cell.start(b"orders", [])
        script.end_init()
        await cell.removed
        assert cell.exited.result() == ExitStatus(None, 9)
        with pytest.raises(SandboxError, match="process 1"):
            await started
        assert cell.is_killed
        cell.freeze()
        cell.thaw()
        cell.signal(9)

    with_cell(scenario)


def test_an_error_while_it_is_made_is_told() -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        script.forked()
        script.control.send(b"error OSError: no room")
        with pytest.raises(SandboxError, match="no room"):
            await cell.ready

    with_cell(scenario)


def test_a_launcher_that_ends_before_it_forks_is_told() -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        script.control.close()
        with pytest.raises(SandboxError, match="launcher ended"):
            await cell.ready
        await cell.removed

    with_cell(scenario)


def test_killing_waits_for_process_one() -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        script.forked()
        await wait_until_async(lambda: cell._init_pidfd >= 0, "the launcher's word")
        cell.kill()
        cell.kill()
        assert not cell.removed.done()
        await cell.removed
        assert script.init.wait(DEADLINE_S) == -9

    with_cell(scenario)


def test_packets_that_make_no_sense_close_what_they_bring() -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        read, write = os.pipe()
        for word in (b"forked", b"ready", b"\0", b"exited 1 0"):
            socket.send_fds(script.control, [word], [write, write, write])
        script.forked()
        os.close(write)
        script.ready()
        await cell.ready
        assert os.read(read, 1) == b""
        os.close(read)
        assert not cell.exited.done()

    with_cell(scenario)


def test_without_a_freezer_process_one_is_asked() -> None:
    async def scenario(cell: Cell, script: Script) -> None:
        script.forked()
        script.ready()
        await cell.ready
        cell.freeze()
        cell.thaw()
        assert [receive_packet(script.control)[0] for _ in range(2)] == [b"stop", b"continue"]

    with_cell(scenario)
