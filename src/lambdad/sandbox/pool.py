"""Cells that wait for functions: a launcher process of one runtime, and how many of its cells are kept ready."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lambdad.sandbox.cell import Cell
from lambdad.sandbox.inside import launcher
from lambdad.sandbox.interface import SandboxError
from lambdad.sandbox.packets import PacketReader, packet_pair
from lambdad.sandbox.pool_size import WINDOW_S, PoolSize

_PROGRAM = str(Path(launcher.__file__))
_REFUSALS = ("PermissionError:", "OSError: [Errno 28]")
"""Not permitted, or none left: how a launcher says it. A limit of zero namespaces is the latter."""
_MAKING_MAX = 16
"""Cells under way at once: more would only make each of them slower."""
_RETRY_DELAY_S = 0.02
_REFILL_DELAY_S = 0.01
"""A cold start goes on after its cell was taken: making the next one waits until it has had the processor."""


class LauncherRefused(SandboxError):
    """The kernel did not let a launcher make its namespaces."""


class Launcher:
    """A launcher process. name: for its command line and messages, with the driver's directory in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, interpreter: str, config: dict[str, Any]) -> None:
        self._name = name
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        ours, theirs = packet_pair()
        self.reader = PacketReader(loop, ours, self._on_packet)
        with theirs:
            self._process = subprocess.Popen(  # not waited for: a few milliseconds on the loop, at the start only
                [interpreter, "-I", "-S", _PROGRAM, str(theirs.fileno()), name],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            )
        with contextlib.suppress(OSError):  # it has ended already, and is heard to
            self.reader.send(marshal.dumps(config, 2))

    def close(self) -> None:
        """End it; its cells are not its own any more and stay. `ended` is then resolved."""
        self.reader.close()
        self._process.kill()
        self._process.wait()
        self._end("it was closed")

    def _on_packet(self, data: bytes, fds: list[int]) -> None:
        word, _, rest = data.partition(b" ")
        if word == b"ready" and not self.ready.done():
            self.ready.set_result(None)
        elif word == b"error":
            self._end(rest.decode(errors="replace"))
        elif not data:
            self._process.kill()
            self._process.wait()
            self._end("it ended")

    def _end(self, why: str) -> None:
        if not self.ready.done():
            kind = LauncherRefused if why.startswith(_REFUSALS) else SandboxError
            self.ready.set_exception(kind(f"the launcher {self._name} did not start: {why}"))
            self.ready.exception()
        if not self.ended.done():
            self.ended.set_result(None)


class CellPool:
    """Keeps cells ready, refilled one at a time; more are made as they are asked for.

    make: starts a cell; raises OSError. prepared: cells that are ready when nothing happens; more when many are taken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], Cell], prepared: int) -> None:
        self._loop = loop
        self._make = make
        self._size = PoolSize(prepared)
        self._idle: deque[Cell] = deque()
        self._making = asyncio.Semaphore(_MAKING_MAX)
        self._filling: Cell | None = None
        self._shrinking: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def take(self) -> Cell:
        """A ready cell, which is the caller's from now on. Raises SandboxError."""
        self._size.taken(self._loop.time())
        while self._idle:
            cell = self._idle.popleft()
            if cell.is_usable:
                return cell
            cell.kill()
        async with self._making:
            try:
                return await self._make_ready()
            except SandboxError:
                # No function had a part in it: a launcher that has died is replaced, once that is known.
                await asyncio.sleep(_RETRY_DELAY_S)
                return await self._make_ready()

    def refill(self) -> None:
        """Soon, in the background, make up for what was taken."""
        self._loop.call_later(_REFILL_DELAY_S, self._fill)

    def close(self) -> None:
        self._is_closed = True
        if self._shrinking is not None:
            self._shrinking.cancel()
        while self._idle:
            self._idle.popleft().kill()
        if self._filling is not None:
            self._filling.kill()

    async def _make_ready(self) -> Cell:
        before = self._loop.time()
        try:
            cell = self._make()
        except OSError as error:
            raise SandboxError(f"making a control group failed: {error}") from error
        try:
            await asyncio.shield(cell.ready)
        except BaseException:
            cell.kill()
            raise
        self._size.made(self._loop.time() - before)
        return cell

    def _fill(self) -> None:
        if self._is_closed or self._filling is not None:
            return
        wanted = self._size.wanted(self._loop.time())
        while len(self._idle) > wanted:
            self._idle.popleft().kill()
        if len(self._idle) == wanted:
            if wanted > self._size.least and self._shrinking is None:  # come back when the burst is forgotten
                self._shrinking = self._loop.call_later(WINDOW_S, self._shrink)
            return
        try:
            self._filling = self._make()
        except OSError:
            return  # the next start makes its own and says what is wrong
        self._filling.ready.add_done_callback(self._on_filled)

    def _shrink(self) -> None:
        self._shrinking = None
        self._fill()

    def _on_filled(self, ready: asyncio.Future[None]) -> None:
        cell, self._filling = self._filling, None
        if cell is None:
            return
        if ready.exception() is not None or self._is_closed:
            cell.kill()
            return
        self._idle.append(cell)
        self._fill()
