"""Reads what a process inside a sandbox writes: as it comes, but only so much between two ticks of the host.

What is more waits in the pipe, and its writer with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

READ = 65_536
WINDOW = 1024 * 1024
"""Bytes that are read between two ticks."""


class OutputReader:
    """fd: non-blocking, somebody else's to close, after `stop`. take: gets the bytes in pieces as they come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, take: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._take = take
        self._budget = WINDOW
        self._is_reading = False
        self._is_over = False
        self._start()

    def refill(self) -> None:
        """A tick: let output flow again."""
        self._budget = WINDOW
        if not self._is_reading and not self._is_over:
            self._start()

    def drain(self) -> None:
        """Take what has been written until now, as far as the budget goes."""
        while self._budget > 0 and self._read():
            pass

    def stop(self) -> None:
        self.drain()
        self._is_over = True
        self._pause()

    def _start(self) -> None:
        self._loop.add_reader(self._fd, self._readable)
        self._is_reading = True

    def _pause(self) -> None:
        if self._is_reading:
            self._loop.remove_reader(self._fd)
            self._is_reading = False

    def _readable(self) -> None:
        self._read()
        if self._is_over or self._budget <= 0:
            self._pause()

    def _read(self) -> bool:
        """One read; whether there was anything."""
        if self._is_over:
            return False
        try:
            data = os.read(self._fd, READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._is_over = True
            return False
        self._budget -= len(data)
        self._take(data)
        return True
