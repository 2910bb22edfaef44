"""The `native` driver: namespaces, control groups, seccomp and a user of its own for every sandbox.

This module composes: cells (`cell`, `pool`) give the walls ahead of time, the mounter (`mounter`) the mounts of a
function, and `launch` brings them together. What runs on the other side is `init`.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import logging
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from lambdad.linux.cgroup import CgroupTree, Counters
from lambdad.linux.seccomp import ARCHITECTURES
from lambdad.sandbox import hostroot, recovery
from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import ExitStatus, SandboxError, Usage, Volume
from lambdad.sandbox.packets import PacketReader, Requests, packet_pair
from lambdad.sandbox.pool import CellPool, Launcher
from lambdad.sandbox.seccomp_profile import function_filter
from lambdad.sandbox.spec import Bind, DirectoryRoot, Exec, Fork, HostRoot, Overlay, SandboxSpec, ZygoteSpec

_log = logging.getLogger(__name__)

UID_BASE = 0x7000_0000
UID_RANGE = 4096
UID_SLOTS = 65_000
"""Host ids of sandboxes: from 1,879,048,192, in a region that systemd's and the distributions' tables leave unused."""

_START_TIMEOUT_S = 60.0
_OPEN_TIMEOUT_S = 60.0
_INIT_PIDS = 1
"""Process 1 counts, and is not the function's."""


class NativeVolume:
    """A volume of the native driver. owner: host ids of the sandbox that uses it, which stay with it."""

    def __init__(self, driver: NativeDriver, number: int, slot: int, size_mb: int) -> None:
        self.size_mb = size_mb
        self.number = number
        self.slot = slot
        self._driver = driver
        self._is_closed = False

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._driver.drop_volume(self)


class NativeSandbox:
    """A started cell."""

    def __init__(self, sandbox_id: str, cell: Cell, output: int) -> None:
        self.id = sandbox_id
        self.listener: socket.socket = cell.hand_over()
        self.output = output
        self.exited: asyncio.Future[ExitStatus] = cell.exited
        self._cell = cell
        self._is_destroyed = False
        self._last = Counters()

    def freeze(self) -> None:
        if not self._is_destroyed:
            self._cell.group.freeze()

    def thaw(self) -> None:
        if not self._is_destroyed:
            self._cell.group.thaw()

    def limit_cpu(self, cpus: float) -> None:
        if not self._is_destroyed:
            self._cell.group.limit_cpu(cpus)

    def signal(self, number: int) -> None:
        self._cell.signal(number)

    def usage(self) -> Usage:
        if not self._is_destroyed:
            self._last = self._cell.group.counters()
        last = self._last
        return Usage(last.memory_peak, last.memory_current, last.cpu, last.oom_kills)

    def reset_peak(self) -> None:
        if not self._is_destroyed:
            self._cell.group.reset_peak()

    async def destroy(self) -> None:
        if not self._is_destroyed:
            self.usage()
            self._is_destroyed = True
            self.listener.close()
            os.close(self.output)
            self._cell.kill()
        await asyncio.shield(self._cell.removed)


class NativeDriver:
    """Implements `SandboxDriver`. state_dir: a directory that no other driver uses; everything it makes has its name.

    prepared: cells that are kept ready for each zygote, and as many for programs.
    """

    def __init__(self, state_dir: Path, *, zygotes: Sequence[ZygoteSpec] = (), prepared: int = 2) -> None:
        self.weaknesses: tuple[str, ...] = ()
        self._state_dir = state_dir.absolute()
        self._zygotes = {zygote.name: zygote for zygote in zygotes}
        self._prepared = prepared
        self._tree = CgroupTree.find(tree_name(self._state_dir))
        self._numbers = itertools.count(1)
        self._free_slots: list[int] = []
        self._next_slot = 0
        self._cells: set[Cell] = set()
        self._launchers: list[Launcher] = []
        self._pools: dict[str | None, CellPool] = {}
        self._volumes: dict[int, NativeVolume] = {}
        self._mounter: Requests | None = None
        self._mounter_process: subprocess.Popen[bytes] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await recovery.remove_leftovers(self._state_dir, self._tree)
        try:
            self._tree.open()
            hostroot.write_etc(self._state_dir / "etc")
            (self._state_dir / "stage").mkdir(exist_ok=True)
            self._start_mounter(loop)
            launchers = [self._start_launcher(loop, zygote) for zygote in (None, *self._zygotes.values())]
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                for launcher in launchers:
                    await asyncio.shield(launcher.ready)
                await (await self.create_volume(512)).close()
        except (OSError, SandboxError) as error:
            await self.close()
            raise SandboxError(f"the native driver cannot start: {error}") from error
        except BaseException:
            await self.close()
            raise
        for pool in self._pools.values():
            pool.refill()

    async def add_zygote(self, spec: ZygoteSpec) -> None:
        if spec.name in self._zygotes:
            return
        if self._mounter is None:
            raise SandboxError("the driver is not open")
        self._zygotes[spec.name] = spec
        launcher = self._start_launcher(asyncio.get_running_loop(), spec)
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await asyncio.shield(launcher.ready)
        except (TimeoutError, SandboxError, OSError) as error:
            del self._zygotes[spec.name], self._pools[spec.name]
            self._launchers.remove(launcher)
            launcher.close()
            raise SandboxError(f"the zygote {spec.name} cannot start: {error}") from error
        self._pools[spec.name].refill()

    async def create_volume(self, size_mb: int) -> NativeVolume:
        slot = self._take_slot()
        volume = NativeVolume(self, next(self._numbers), slot, size_mb)
        base = UID_BASE + slot * UID_RANGE
        owner = (base + hostroot.USER, base + hostroot.GROUP)
        self._volumes[volume.number] = volume
        request = {"do": "create", "volume": volume.number, "size_mb": size_mb, "owner": owner, "in_memory": False}
        try:
            await self._ask_mounter(request)
        except BaseException:
            await volume.close()
            raise
        return volume

    async def drop_volume(self, volume: NativeVolume) -> None:
        """What `NativeVolume.close` does."""
        if self._volumes.pop(volume.number, None) is not None and self._mounter is not None:
            await self._ask_mounter({"do": "drop", "volume": volume.number})
            self._free_slots.append(volume.slot)

    async def launch(self, sandbox_id: str, spec: SandboxSpec, volume: Volume) -> NativeSandbox:
        if not isinstance(volume, NativeVolume):
            raise SandboxError("a volume of another driver")
        pool = self._pool_for(spec)
        cell = await pool.take()
        try:
            output = await self._start(cell, spec, volume)
        except BaseException:
            cell.kill()
            await asyncio.shield(cell.removed)
            raise
        finally:
            pool.refill()
        return NativeSandbox(sandbox_id, cell, output)

    async def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        for cell in list(self._cells):
            cell.kill()
        for cell in list(self._cells):
            await asyncio.shield(cell.removed)
        for launcher in self._launchers:
            launcher.close()
        for volume in list(self._volumes.values()):
            await volume.close()
        if self._mounter is not None and self._mounter_process is not None:
            self._mounter.close()
            self._mounter_process.wait()
        self._pools, self._launchers, self._mounter = {}, [], None
        self._tree.remove()
        recovery.remove_files(self._state_dir)

    def _start_mounter(self, loop: asyncio.AbstractEventLoop) -> None:
        ours, theirs = packet_pair()
        with theirs:
            inside = [str(hostroot.USER), str(hostroot.GROUP)]
            arguments = [str(theirs.fileno()), str(self._state_dir), *inside]
            self._mounter_process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lambdad.sandbox.mounter", *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd="/",
            )
        self._mounter = Requests(loop, ours)

    def _start_launcher(self, loop: asyncio.AbstractEventLoop, zygote: ZygoteSpec | None) -> Launcher:
        """Start the zygote, or the launcher of programs, with a pool of its cells."""
        architecture = ARCHITECTURES.get(os.uname().machine)
        if architecture is None:
            raise SandboxError(f"no seccomp profile for {os.uname().machine}; x86_64 and aarch64 have one")
        layout = hostroot.host_layout(self._state_dir / "etc", zygote.binds if zygote else ())
        config: dict[str, Any] = {
            "entry": zygote.entry if zygote else None,
            "path": list(zygote.path) if zygote else [],
            "stage": str(self._state_dir / "stage"),
            "kit": list(layout.kit),
            "layout": list(layout.steps),
            "filter": function_filter(architecture),
            "maps": None,
        }
        name = zygote.name if zygote else None
        interpreter = zygote.interpreter if zygote else sys.executable
        launcher = Launcher(loop, f"{self._state_dir}/{name or 'programs'}", interpreter, config)
        self._launchers.append(launcher)
        self._pools[name] = CellPool(loop, functools.partial(self._make_cell, launcher.reader), self._prepared)
        return launcher

    def _make_cell(self, launcher: PacketReader) -> Cell:
        group = self._tree.create(f"cell-{next(self._numbers)}")
        cell = Cell(asyncio.get_running_loop(), group, launcher)
        self._cells.add(cell)
        cell.removed.add_done_callback(lambda _: self._cells.discard(cell))
        return cell

    def _pool_for(self, spec: SandboxSpec) -> CellPool:
        if spec.egress != "none":
            raise SandboxError(f"egress `{spec.egress}` is not built in the native driver; it has `none` only")
        match spec.start:
            case Exec():
                name = None
            case Fork(zygote):
                name = zygote
            case _:
                assert_never(spec.start)
        pool = self._pools.get(name)
        if pool is None:
            raise SandboxError("the driver is not open" if name is None else f"there is no zygote named {name}")
        return pool

    async def _start(self, cell: Cell, spec: SandboxSpec, volume: NativeVolume) -> int:
        """Give the cell its function. Returns the read end of the output pipe."""
        try:
            cell.group.limit(memory_bytes=spec.memory_bytes, pids=spec.pids + _INIT_PIDS)
        except OSError as error:
            raise SandboxError(f"setting the limits failed: {error}") from error
        answer, mounts = await self._ask_mounter(_mount_request(spec, volume))
        output, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(output, False)
            orders = marshal.dumps(_orders(spec, volume, answer["directories"]), 2)
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.shield(cell.start(orders, [theirs, *mounts]))
            cell.group.limit_cpu(spec.cpus)
        except TimeoutError as error:
            os.close(output)
            raise SandboxError(f"the process did not start within {_START_TIMEOUT_S:.0f} seconds") from error
        except BaseException:
            os.close(output)
            raise
        finally:
            for fd in (theirs, *mounts):
                os.close(fd)
        return output

    async def _ask_mounter(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        if self._mounter is None:
            raise SandboxError("the driver is not open")
        try:
            answer, fds = await self._mounter.send(request)
        except ConnectionError as error:
            raise SandboxError(f"{request['do']}: {error}") from error
        if "error" in answer:
            raise SandboxError(f"{request['do']} failed: {answer['error']}")
        return answer, fds

    def _take_slot(self) -> int:
        if self._free_slots:
            return self._free_slots.pop()
        if self._next_slot >= UID_SLOTS:
            raise SandboxError(f"all {UID_SLOTS} ranges of user ids are in use")
        self._next_slot += 1
        return self._next_slot - 1


def tree_name(state_dir: Path) -> str:
    """The name of the control groups of the driver on `state_dir`."""
    return hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]


def _mount_request(spec: SandboxSpec, volume: NativeVolume) -> dict[str, Any]:
    match spec.root:
        case HostRoot():
            root = None
        case DirectoryRoot(path):
            root = path
        case _:
            assert_never(spec.root)
    return {
        "do": "mount",
        "volume": volume.number,
        "root": root,
        "mounts": [_lowers(mount) for mount in spec.mounts],
        "targets": [mount.target for mount in spec.mounts],
    }


def _lowers(mount: Bind | Overlay) -> list[str]:
    match mount:
        case Bind(source, _):
            return [source]
        case Overlay(lowers, _):
            return list(lowers)
        case _:
            assert_never(mount)


def _orders(spec: SandboxSpec, volume: NativeVolume, directories: Sequence[bool]) -> dict[str, Any]:
    """What the runtime process is told; `init.run_runtime` reads it."""
    base = UID_BASE + volume.slot * UID_RANGE
    targets = [(mount.target, kind) for mount, kind in zip(spec.mounts, directories, strict=True)]
    return {
        "argv": list(spec.start.argv) if isinstance(spec.start, Exec) else [],
        "environment": dict(spec.environment),
        "directory": spec.working_directory,
        "hostname": spec.hostname,
        "files": spec.files,
        "pids": spec.pids,
        "has_root": isinstance(spec.root, DirectoryRoot),
        "targets": [*targets, ("/tmp", True)],
        "maps": (f"0 {base} {UID_RANGE}", f"0 {base} {UID_RANGE}"),
        "ids": (hostroot.USER, hostroot.GROUP),
        "may_set_groups": True,
    }
