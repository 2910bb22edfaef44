"""Berths against a scripted other side: whom the driver believes, and whom it does not."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence

import pytest

from lambdad.linux.cgroup import Cgroup
from lambdad.sandbox.berth import Berth
from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import SandboxError
from lambdad.sandbox.packets import PacketReader, packet_pair, receive_packet

DEADLINE_S = 30.0


class Script:
    """Launcher, process 1 of the berth, and the snapshot process with its fork."""

    def __init__(self, launcher: socket.socket) -> None:
        data, (control, cell, users) = receive_packet(launcher)
        assert data == b"berth"
        os.close(cell)
        os.close(users)
        self.control = socket.socket(fileno=control)
        self.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self.fork: socket.socket | None = None

    def make(self) -> None:
        pidfd = os.pidfd_open(self.process.pid)
        socket.send_fds(self.control, [b"forked"], [pidfd])
        os.close(pidfd)
        listener = socket.socket()
        spaces = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
        socket.send_fds(self.control, [b"ready"], [listener.fileno(), *spaces])
        listener.close()
        for fd in spaces:
            os.close(fd)

    def ask(self, fds: Sequence[int]) -> None:
        """What the snapshot process is sent: five namespaces, the output, the fork's own socket."""
        assert len(fds) == 7
        self.fork = socket.socket(fileno=os.dup(fds[-1]))

    def show_runtime(self) -> None:
        pidfd = os.pidfd_open(self.process.pid)
        socket.send_fds(self.control, [b"runtime"], [pidfd])
        os.close(pidfd)

    def close(self) -> None:
        self.control.close()
        if self.fork is not None:
            self.fork.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()


class _Below(Cell):
    """The cell of the snapshot process, as far as a berth needs one."""

    def __init__(self) -> None:
        self._fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(2)]

    @property
    def depths(self) -> list[int]:
        return self._fds


def with_berth(scenario: Callable[[Berth, Script], Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = packet_pair()
        launcher = PacketReader(loop, ours, lambda data, fds: None)
        below = _Below()
        berth = Berth(loop, Cgroup({}, {}), launcher, below)
        script = Script(theirs)
        try:
            async with asyncio.timeout(DEADLINE_S):
                script.make()
                await berth.ready
                await scenario(berth, script)
                berth.kill()
                await berth.removed
        finally:
            script.close()
            launcher.close()
            theirs.close()
            for fd in below.depths:
                os.close(fd)

    asyncio.run(run())


def _enter(berth: Berth, script: Script) -> asyncio.Future[None]:
    null = os.open("/dev/null", os.O_RDWR)
    try:
        return berth.enter(script.ask, null, null)
    finally:
        os.close(null)


async def _next_order(script: Script) -> bytes:
    loop = asyncio.get_running_loop()
    script.control.setblocking(False)
    return await loop.sock_recv(script.control, 100)


def test_a_fork_goes_on_when_process_1_has_shown_it() -> None:
    async def scenario(berth: Berth, script: Script) -> None:
        entered = _enter(berth, script)
        assert await _next_order(script) == b"tmp"
        assert script.fork is not None
        script.fork.send(b"here 4")
        assert await _next_order(script) == b"find 4"
        assert not entered.done()
        script.show_runtime()
        await entered
        assert script.fork.recv(10) == b"go"

    with_berth(scenario)


@pytest.mark.parametrize("word", [b"here 4; kill", b"here -1", b"here 12345678901", b"here", b"going", b"x" * 5000])
def test_what_is_no_number_ends_the_start(word: bytes) -> None:
    async def scenario(berth: Berth, script: Script) -> None:
        entered = _enter(berth, script)
        assert script.fork is not None
        script.fork.send(word)
        with pytest.raises(SandboxError, match="restoring the snapshot failed"):
            await entered

    with_berth(scenario)


def test_an_error_of_the_fork_is_told_and_its_silence_too() -> None:
    async def told(berth: Berth, script: Script) -> None:
        entered = _enter(berth, script)
        assert script.fork is not None
        script.fork.send(b"error OSError: no room")
        with pytest.raises(SandboxError, match="OSError: no room"):
            await entered

    async def silent(berth: Berth, script: Script) -> None:
        entered = _enter(berth, script)
        assert script.fork is not None
        script.fork.close()
        with pytest.raises(SandboxError, match="ended before it was in its place"):
            await entered

    with_berth(told)
    with_berth(silent)


def test_a_snapshot_process_that_takes_nothing_is_an_error() -> None:
    async def scenario(berth: Berth, script: Script) -> None:
        def refuse(fds: Sequence[int]) -> None:
            raise BrokenPipeError("gone")

        null = os.open("/dev/null", os.O_RDWR)
        entered = berth.enter(refuse, null, null)
        os.close(null)
        with pytest.raises(SandboxError, match="did not take its orders"):
            await entered

    with_berth(scenario)
