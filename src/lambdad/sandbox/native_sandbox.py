"""A started cell, as the rest of the worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import ExitStatus, Usage


class NativeSandbox:
    """A started cell."""

    def __init__(self, sandbox_id: str, cell: Cell, output: int) -> None:
        self.id = sandbox_id
        self.listener: socket.socket = cell.hand_over()
        self.output = output
        self.exited: asyncio.Future[ExitStatus] = cell.exited
        self._cell = cell
        self._is_destroyed = False
        self._last = Usage(0, 0, 0, 0)

    def freeze(self) -> None:
        self._cell.freeze()

    def thaw(self) -> None:
        self._cell.thaw()

    def limit_cpu(self, cpus: float) -> None:
        if not self._cell.is_killed:
            with contextlib.suppress(FileNotFoundError):
                self._cell.group.limit_cpu(cpus)

    def signal(self, number: int) -> None:
        self._cell.signal(number)

    def usage(self) -> Usage:
        if not self._cell.is_killed:
            self._last = self._cell.usage()
        return self._last

    def reset_peak(self) -> None:
        if not self._cell.is_killed:
            self._cell.group.reset_peak()

    async def destroy(self) -> None:
        if not self._is_destroyed:
            self._is_destroyed = True
            self.usage()
            self.listener.close()
            os.close(self.output)
            self._cell.kill()
        await asyncio.shield(self._cell.removed)
