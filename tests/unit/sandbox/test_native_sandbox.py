"""A started cell: what it answers after it has been destroyed."""

from __future__ import annotations

import asyncio
import os
import socket

from lambdad.linux.cgroup import Cgroup
from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import Usage
from lambdad.sandbox.native_sandbox import NativeSandbox


class _Cell(Cell):
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.group = Cgroup({}, {})
        self.exited = loop.create_future()
        self.removed = loop.create_future()
        self.is_killed = False
        self.listener = socket.socket()
        self.signals: list[int] = []

    def hand_over(self) -> socket.socket:
        assert self.listener is not None
        return self.listener

    def usage(self) -> Usage:
        return Usage(4096, 2048, 7, 1)

    def kill(self) -> None:
        self.is_killed = True
        if not self.removed.done():
            self.removed.set_result(None)


def test_it_remembers_its_last_usage_and_may_be_destroyed_twice() -> None:
    async def scenario() -> None:
        cell = _Cell()
        output, theirs = os.pipe()
        os.close(theirs)
        sandbox = NativeSandbox("one", cell, output)
        assert sandbox.usage() == Usage(4096, 2048, 7, 1)
        await sandbox.destroy()
        await sandbox.destroy()
        assert cell.is_killed
        assert sandbox.usage() == Usage(4096, 2048, 7, 1)
        assert sandbox.listener.fileno() == -1
        sandbox.limit_cpu(0.5)
        sandbox.reset_peak()

    asyncio.run(scenario())
