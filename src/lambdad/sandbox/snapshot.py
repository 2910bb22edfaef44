"""Snapshots of the native driver: a process that has initialised a function, and the forks that leave it.

    snapshot process    in a cell as any function's, with the right to enter namespaces and no other (`inside.berth`)
    berths              made ahead of each fork, below that cell; the fork moves into one and is a sandbox from then on

A snapshot process is a function's own code. What it is asked for may not come, or come twice; then the berth stays
empty and is taken away. What it starts besides is in its own group, with its own limits, and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import signal
from collections.abc import Callable
from dataclasses import replace

from lambdad.sandbox.berth import Berth
from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import Sandbox, SandboxError
from lambdad.sandbox.mounter_client import MounterClient, NativeVolume
from lambdad.sandbox.native_sandbox import NativeSandbox
from lambdad.sandbox.pool import CellPool
from lambdad.sandbox.spec import HostRoot, SandboxSpec

FORK_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 2.0
"""A berth whose fork was not waited for by the snapshot process ends only with that."""
_INIT_PIDS = 1


class NativeSnapshot:
    """Implements `Snapshot`. make_berth: starts one below the cell; raises OSError. program: the functions' filter."""

    def __init__(
        self,
        name: str,
        sandbox: NativeSandbox,
        cell: Cell,
        volume: NativeVolume,
        mounter: MounterClient,
        make_berth: Callable[[], Berth],
        program: bytes,
        prepared: int,
    ) -> None:
        self.name = name
        self.sandbox: Sandbox = sandbox
        self.captured = cell.captured
        self._cell = cell
        self._volume = volume
        self._mounter = mounter
        self._program = program
        self._loop = asyncio.get_running_loop()
        self._pool = CellPool(self._loop, make_berth, prepared)
        self._berths: set[Cell] = set()
        self._asked = 0
        self._starting = 0
        self._is_sealed = False
        self._is_ended = False
        self._has_files = False

    @property
    def is_usable(self) -> bool:
        return self.captured.done() and not self._is_ended and not self.sandbox.exited.done()

    async def seal(self) -> None:
        self._has_files = await self._mounter.capture(self._volume)
        self._is_sealed = True
        self._pool.refill()

    async def create_volume(self) -> NativeVolume:
        return await self._mounter.create_like(self._volume, with_files=self._has_files)

    async def fork(self, sandbox_id: str, spec: SandboxSpec, volume: NativeVolume) -> NativeSandbox:
        """What `SandboxDriver.launch` does with `Restore`."""
        if not self.is_usable or not self._is_sealed:
            raise SandboxError(f"the snapshot {self.name} is not there any more")
        self._starting += 1
        try:
            berth = await self._pool.take()
            self._follow(berth)
            try:
                output = await self._enter(berth, spec, volume)
            except BaseException:
                berth.kill()
                await self._removed(berth)
                raise
        finally:
            self._starting -= 1
            self._pool.refill()
        return NativeSandbox(sandbox_id, berth, output)

    def rest(self) -> None:
        if self.is_usable and not self._starting and self._cell.forked >= self._asked:
            self._cell.freeze()

    async def destroy(self) -> None:
        self.end()
        while self._berths:
            await asyncio.wait({berth.removed for berth in self._berths})
        await self.sandbox.destroy()

    def end(self) -> None:
        """Kill the process and what is prepared. Its process 1 stays: the kernel would take every berth along."""
        if not self._is_ended:
            self._is_ended = True
            self._pool.close()
            self._cell.let_run()
            self._cell.signal(signal.SIGKILL)

    async def _enter(self, berth: Cell, spec: SandboxSpec, volume: NativeVolume) -> int:
        """Fork into the berth. Returns the read end of the output pipe."""
        assert isinstance(berth, Berth)
        try:
            berth.group.limit(memory_bytes=spec.memory_bytes, pids=spec.pids + _INIT_PIDS)
        except OSError as error:
            raise SandboxError(f"setting the limits failed: {error}") from error
        nothing_else = replace(spec, root=HostRoot(), mounts=())  # it has the snapshot's
        _, (mount,) = await self._mounter.mount(nothing_else, volume)
        output, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(output, False)
            orders = marshal.dumps({"environment": dict(spec.environment), "filter": self._program}, 2)
            self._cell.thaw()
            self._asked += 1
            async with asyncio.timeout(FORK_TIMEOUT_S):
                await asyncio.shield(berth.enter(lambda fds: self._cell.tell(orders, fds), mount, theirs))
            berth.group.limit_cpu(spec.cpus)
        except BaseException as error:
            os.close(output)
            if isinstance(error, TimeoutError):
                self.end()  # it does not answer: whoever comes next gets another
                raise SandboxError(f"the snapshot did not fork within {FORK_TIMEOUT_S:.0f} seconds") from error
            if isinstance(error, OSError):
                raise SandboxError(f"restoring the snapshot failed: {error}") from error
            raise
        finally:
            os.close(theirs)
            os.close(mount)
        return output

    def _follow(self, berth: Cell) -> None:
        self._berths.add(berth)
        berth.removed.add_done_callback(lambda _: self._berths.discard(berth))

    async def _removed(self, berth: Cell) -> None:
        """Wait until nothing is left of it; if the snapshot process keeps a dead fork of its own, that ends, too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await asyncio.shield(berth.removed)
                return
        self.end()
        await asyncio.shield(berth.removed)
