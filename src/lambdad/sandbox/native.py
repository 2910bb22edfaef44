"""The `native` driver: namespaces, control groups, seccomp and a user of its own for every sandbox.

This module composes: cells (`cell`, `pool`) give the walls ahead of time, the mounter (`mounter`) the mounts of a
function, and `launch` brings them together. What runs on the other side is `init`. Without root the same happens
below a user namespace, with what the host allows; `weaknesses` says what is missing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import functools
import hashlib
import logging
import marshal
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, assert_never

from lambdad.linux import cgroup
from lambdad.linux.seccomp import ARCHITECTURES, Architecture
from lambdad.sandbox import hostroot, recovery
from lambdad.sandbox.berth import Berth
from lambdad.sandbox.cell import Cell, Connect
from lambdad.sandbox.doors import Doors
from lambdad.sandbox.firewall import Allowed
from lambdad.sandbox.identity import GROUP, SLOTS, USER, Identity, RootIdentity, UserIdentity
from lambdad.sandbox.interface import RUNTIME_API_ADDRESS, SandboxError, Volume
from lambdad.sandbox.mounter_client import MounterClient, NativeVolume
from lambdad.sandbox.native_sandbox import RUNTIME_API_VARIABLE, NativeSandbox
from lambdad.sandbox.network import Router
from lambdad.sandbox.pool import CellPool, Launcher, LauncherRefused
from lambdad.sandbox.seccomp_profile import function_filter, snapshot_filter
from lambdad.sandbox.snapshot import NativeSnapshot
from lambdad.sandbox.spec import Bind, DirectoryRoot, Exec, Fork, Restore, SandboxSpec, ZygoteSpec
from lambdad.sandbox.weaknesses import describe_weaknesses, explain_no_snapshots, explain_refusal

_log = logging.getLogger(__name__)

_START_TIMEOUT_S = 60.0
_OPEN_TIMEOUT_S = 60.0
_INIT_PIDS = 1
"""Process 1 counts, and is not the function's."""
_FIRST_VOLUME_MB = 512
_SECCOMP = Path("/proc/sys/kernel/seccomp/actions_avail")


class NativeDriver:
    """Implements `SandboxDriver`. state_dir: a directory that no other driver uses; everything it makes has its name.

    prepared: cells that are kept ready for each zygote, and as many for programs.
    egress: the network of all its sandboxes. allowed: private destinations that `internet` lets through.
    snapshots: whether processes may be forked from once they ran a function's code.
    doors: what leads out of its sandboxes whatever `egress` is; not with `host`, where nothing is closed.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        zygotes: Sequence[ZygoteSpec] = (),
        prepared: int = 2,
        egress: str = "none",
        allowed: Sequence[Allowed] = (),
        snapshots: bool = True,
        doors: Doors | None = None,
    ) -> None:
        self.weaknesses: tuple[str, ...] = ()
        self.why_no_snapshots = "the driver is not open"
        self._state_dir = state_dir.absolute()
        self._zygotes = {zygote.name: zygote for zygote in zygotes}
        self._prepared = prepared
        self._egress = egress
        self._allowed = tuple(allowed)
        self._doors = None if egress == "host" else doors
        self._router: Router | None = None
        self._identity: Identity = RootIdentity() if os.geteuid() == 0 else UserIdentity(os.geteuid(), os.getegid())
        self._tree = cgroup.CgroupTree.find(tree_name(self._state_dir))
        self._mounter = MounterClient(self._state_dir, self._identity, SLOTS)
        self._program = b""
        self._with_snapshots = snapshots
        self._snapshots: dict[str, NativeSnapshot] = {}
        self._last_number = 0
        self._cells: set[Cell] = set()
        self._sandboxes: set[NativeSandbox] = set()
        self._launchers: dict[str | None, Launcher] = {}
        self._pools: dict[str | None, CellPool] = {}
        self._lock = -1

    async def open(self) -> None:
        self._lock_state_dir()
        try:
            await self._open()
        except BaseException as error:
            await self.close()
            if isinstance(error, LauncherRefused):
                raise SandboxError(f"{error}. {self._explain_refusal()}") from error
            if isinstance(error, OSError):
                raise SandboxError(f"the native driver cannot start: {error}") from error
            raise

    def _explain_refusal(self) -> str:
        return explain_refusal(
            has_root=self._identity.launcher_maps is None,
            user_namespaces_max=_setting("user/max_user_namespaces", 1),
            is_held_by_apparmor=_setting("kernel/apparmor_restrict_unprivileged_userns", 0) == 1,
        )

    async def add_zygote(self, spec: ZygoteSpec) -> None:
        if not self._pools:
            raise SandboxError("the driver is not open")
        if spec.name in self._pools:
            return
        try:
            if spec.name not in self._launchers:  # else another caller is waiting for it, or was cancelled meanwhile
                self._zygotes[spec.name] = spec
                self._launchers[spec.name] = self._start_launcher(spec.name)
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await asyncio.shield(self._launchers[spec.name].ready)
        except (TimeoutError, SandboxError, OSError) as error:
            self._zygotes.pop(spec.name, None)
            if launcher := self._launchers.pop(spec.name, None):
                launcher.close()
            raise SandboxError(f"the zygote {spec.name} cannot start: {error}") from error
        if spec.name not in self._pools:
            self._add_pool(spec.name)
            self._pools[spec.name].refill()

    async def create_volume(self, size_mb: int) -> NativeVolume:
        return await self._mounter.create(size_mb)

    async def launch(self, sandbox_id: str, spec: SandboxSpec, volume: Volume) -> NativeSandbox:
        if not isinstance(volume, NativeVolume):
            raise SandboxError("the volume is one of another driver")
        if isinstance(spec.start, Restore):
            snapshot = self._snapshots.get(spec.start.snapshot)
            if snapshot is None:
                raise SandboxError(f"there is no snapshot named {spec.start.snapshot}")
            return await snapshot.fork(sandbox_id, spec, volume)
        sandbox, _ = await self._launch(sandbox_id, spec, volume)
        return sandbox

    async def launch_snapshot(self, name: str, spec: SandboxSpec, volume: Volume) -> NativeSnapshot:
        if self.why_no_snapshots:
            raise SandboxError(f"there are no snapshots: {self.why_no_snapshots}")
        if not isinstance(volume, NativeVolume) or name in self._snapshots:
            raise SandboxError(f"the volume is one of another driver, or there is a snapshot {name} already")
        sandbox, cell = await self._launch(name, dataclasses.replace(spec, forks=True), volume)
        make = functools.partial(self._make_berth, cell)
        snapshot = NativeSnapshot(name, sandbox, cell, volume, self._mounter, make, self._program, self._prepared)
        self._snapshots[name] = snapshot
        cell.removed.add_done_callback(lambda _: self._snapshots.pop(name, None))
        return snapshot

    async def _launch(self, sandbox_id: str, spec: SandboxSpec, volume: NativeVolume) -> tuple[NativeSandbox, Cell]:
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
        sandbox = NativeSandbox(sandbox_id, cell, output, self._program_orders(cell, spec))
        self._sandboxes.add(sandbox)
        cell.removed.add_done_callback(lambda _: self._sandboxes.discard(sandbox))
        return sandbox, cell

    async def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        for snapshot in self._snapshots.values():
            snapshot.end()
        cells = list(self._cells)
        for cell in cells:
            cell.kill()
        for sandbox in list(self._sandboxes):
            await sandbox.destroy()
        for cell in cells:
            await asyncio.shield(cell.removed)
        for launcher in self._launchers.values():
            launcher.close()
        self._pools, self._launchers = {}, {}
        await self._mounter.close()
        if self._router is not None:
            await self._router.close()
            self._router = None
        if self._lock >= 0:
            self._tree.remove()
            recovery.remove_files(self._state_dir)
            os.close(self._lock)
            self._lock = -1

    def _lock_state_dir(self) -> None:
        """Recovery kills what it finds: two drivers on one directory would kill each other's."""
        self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise SandboxError(f"{self._state_dir} is in use by another worker: end it, or choose another") from error
        self._lock = lock

    async def _open(self) -> None:
        await recovery.remove_leftovers(self._state_dir, self._tree)
        self._tree.open()
        hostroot.write_etc(self._state_dir / "etc", hostroot.name_files(self._egress))
        if self._egress == "internet":
            self._check_root()
            self._router = Router(str(self._state_dir), self._allowed)
            await self._router.open()
        (self._state_dir / "stage").mkdir(exist_ok=True)
        self._program = _load_program(function_filter)
        self._mounter.start()
        for name in (None, *self._zygotes):
            self._launchers[name] = self._start_launcher(name)
            self._add_pool(name)
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            for launcher in self._launchers.values():
                await asyncio.shield(launcher.ready)
            why_in_memory = await self._try_volume()
        self.weaknesses = describe_weaknesses(
            has_root=self._identity.launcher_maps is None,
            missing_controllers=self._tree.missing,
            why_in_memory=why_in_memory,
            has_seccomp=bool(self._program),
            shares_network=self._egress == "host",
        )
        self.why_no_snapshots = explain_no_snapshots(
            wanted=self._with_snapshots,
            has_root=self._identity.launcher_maps is None,
            missing_controllers=self._tree.missing,
            in_memory=self._mounter.keeps_in_memory,
            has_seccomp=bool(self._program),
            shares_network=self._egress == "host",
        )
        if self.why_no_snapshots:
            self.weaknesses += (f"SnapStart functions start as all others do: {self.why_no_snapshots}",)
        for pool in self._pools.values():
            pool.refill()

    def _check_root(self) -> None:
        if self._identity.launcher_maps is not None:
            raise SandboxError(
                "`egress: internet` needs root, which makes the sandboxes' network; without root use `none`, or `host` "
                "for code of your own"
            )

    async def _try_volume(self) -> str:
        """Make the template of the most common size, and see whether volumes can be disks. Returns why not, or nothing.

        Raises SandboxError if they cannot be had at all.
        """
        reason = ""
        if self._identity.launcher_maps is not None:
            self._mounter.keeps_in_memory = True
            reason = "the worker is not root"
        else:
            try:
                await (await self.create_volume(_FIRST_VOLUME_MB)).close()
            except SandboxError as error:
                self._mounter.keeps_in_memory = True
                reason = str(error)
        if self._mounter.keeps_in_memory:
            await (await self.create_volume(_FIRST_VOLUME_MB)).close()
        return reason

    def _start_launcher(self, name: str | None) -> Launcher:
        zygote = None if name is None else self._zygotes[name]
        layout = hostroot.host_layout(self._state_dir / "etc", zygote.binds if zygote else ())
        config: dict[str, Any] = {
            "entry": zygote.entry if zygote else None,
            "path": list(zygote.path) if zygote else [],
            "stage": str(self._state_dir / "stage"),
            "kit": list(layout.kit),
            "layout": list(layout.steps),
            "filter": self._program,
            "snapshot_filter": _load_program(snapshot_filter),
            "shares_network": self._egress == "host",
            "doors": len(self._doors.upstreams) if self._doors else 0,
            "maps": self._identity.launcher_maps,
        }
        interpreter = zygote.interpreter if zygote else sys.executable
        label = f"{self._state_dir}/{name or 'programs'}"
        return Launcher(asyncio.get_running_loop(), label, interpreter, config)

    def _add_pool(self, name: str | None) -> None:
        make = functools.partial(self._make_cell, name)
        self._pools[name] = CellPool(asyncio.get_running_loop(), make, self._prepared)

    def _make_cell(self, name: str | None) -> Cell:
        """Ask for a cell. Raises OSError."""
        launcher = self._living_launcher(name)
        cell = Cell(asyncio.get_running_loop(), self._make_group(), launcher.reader, self._connect, self._doors)
        self._follow(cell)
        return cell

    def _make_berth(self, below: Cell) -> Berth:
        """Ask for one. Raises OSError."""
        launcher = self._living_launcher(None)
        loop = asyncio.get_running_loop()
        berth = Berth(loop, self._make_group(), launcher.reader, below, self._connect, self._doors)
        self._follow(berth)
        return berth

    def _living_launcher(self, name: str | None) -> Launcher:
        if self._launchers[name].ended.done():
            _log.warning("the launcher of %s ended; starting another", name or "programs")
            self._launchers[name] = self._start_launcher(name)
        return self._launchers[name]

    def _make_group(self) -> cgroup.Cgroup:
        self._last_number += 1
        return self._tree.create(f"cell-{self._last_number}")

    @property
    def _connect(self) -> Connect | None:
        return None if self._router is None else self._router.attach

    def _follow(self, cell: Cell) -> None:
        self._cells.add(cell)
        cell.removed.add_done_callback(lambda _: self._cells.discard(cell))

    def _pool_for(self, spec: SandboxSpec) -> CellPool:
        if spec.egress != self._egress:
            raise SandboxError(f"the sandboxes of this driver have egress `{self._egress}`, not `{spec.egress}`")
        match spec.start:
            case Exec():
                name = None
            case Fork(zygote):
                name = zygote
            case Restore():
                raise SandboxError("what is restored takes no cell")
            case _:
                assert_never(spec.start)
        if not self._pools:
            raise SandboxError("the driver is not open")
        if name not in self._pools:
            raise SandboxError(f"there is no zygote named {name}")
        return self._pools[name]

    async def _start(self, cell: Cell, spec: SandboxSpec, volume: NativeVolume) -> int:
        """Give the cell its function. Returns the read end of the output pipe."""
        try:
            cell.group.limit(memory_bytes=spec.memory_bytes, pids=spec.pids + _INIT_PIDS)
        except OSError as error:
            raise SandboxError(f"setting the limits failed: {error}") from error
        spec = self._with_names(cell, spec)
        directories, mounts = await self._mounter.mount(spec, volume)
        output, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(output, False)
            orders = marshal.dumps(self._orders(spec, volume, directories), 2)
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.shield(cell.start(orders, [theirs, *mounts], stays=spec.forks))
            # Only now: behind a small quota the walls would come up in slow motion.
            cell.group.limit_cpu(spec.cpus)
        except BaseException as error:
            os.close(output)
            if isinstance(error, TimeoutError):
                raise SandboxError(f"the process did not start within {_START_TIMEOUT_S:.0f} seconds") from error
            if isinstance(error, OSError):
                raise SandboxError(f"starting the process failed: {error}") from error
            raise
        finally:
            for fd in (theirs, *mounts):
                os.close(fd)
        return output

    def _with_names(self, cell: Cell, spec: SandboxSpec) -> SandboxSpec:
        """`spec` with what depends on the network: who resolves names, where the Runtime API is."""
        environment, mounts = spec.environment, spec.mounts
        if isinstance(spec.root, DirectoryRoot):
            etc = self._state_dir / "etc"
            names = ("hosts",) if self._egress == "none" else ("hosts", "resolv.conf")
            mounts = (*mounts, *(Bind(str(etc / name), f"/etc/{name}") for name in names))
        address = cell.runtime_api
        if address != RUNTIME_API_ADDRESS and RUNTIME_API_VARIABLE in environment:
            environment = {**environment, RUNTIME_API_VARIABLE: "{}:{}".format(*address)}
        return dataclasses.replace(spec, environment=environment, mounts=mounts)

    def _program_orders(self, cell: Cell, spec: SandboxSpec) -> dict[str, Any]:
        """What every further program of a sandbox is told; `program.run_program` reads it."""
        is_limited = cgroup.MEMORY not in self._tree.missing
        return {
            "address": "{}:{}".format(*cell.runtime_api),
            "files": spec.files,
            "pids": spec.pids,
            "data": 0 if is_limited else spec.memory_bytes,
            "ids": (USER, GROUP),
        }

    def _orders(self, spec: SandboxSpec, volume: NativeVolume, directories: Sequence[bool]) -> dict[str, Any]:
        """What the runtime process is told; `init.run_runtime` reads it."""
        targets = [(mount.target, kind) for mount, kind in zip(spec.mounts, directories, strict=True)]
        is_limited = cgroup.MEMORY not in self._tree.missing
        return {
            "argv": list(spec.start.argv) if isinstance(spec.start, Exec) else [],
            "environment": dict(spec.environment),
            "directory": spec.working_directory,
            "hostname": spec.hostname,
            "files": spec.files,
            "pids": spec.pids,
            "forks": spec.forks,
            "held": spec.held,
            "data": 0 if is_limited else spec.memory_bytes,
            "has_root": isinstance(spec.root, DirectoryRoot),
            "targets": [*targets, ("/tmp", True)],
            "maps": self._identity.maps(volume.slot),
            "ids": (USER, GROUP),
            "may_set_groups": self._identity.launcher_maps is None,
        }


def _setting(name: str, otherwise: int) -> int:
    """A number among the kernel's settings; `otherwise` where the kernel does not have it."""
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return otherwise


def tree_name(state_dir: Path) -> str:
    """The name of the control groups of the driver on `state_dir`."""
    return hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]


def _load_program(make: Callable[[Architecture], bytes]) -> bytes:
    """A seccomp program; none where the kernel has no filters, which `weaknesses` says. Raises SandboxError."""
    architecture = ARCHITECTURES.get(os.uname().machine)
    if architecture is None:
        raise SandboxError(f"no seccomp profile for {os.uname().machine}; x86_64 and aarch64 have one")
    return make(architecture) if _SECCOMP.exists() else b""
