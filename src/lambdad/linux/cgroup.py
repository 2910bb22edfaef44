"""Control groups of versions 1 and 2, and hosts that mix them, behind one class for a tree and one for a group.

A `CgroupTree` owns the directories `lambdad/<name>` of every hierarchy that it needs, and nothing outside them. It
holds a lock on each: what nobody holds any more, of a driver that was killed, is taken away by the next that opens.
Each controller is looked for in version 1 first: where both are mounted, version 2 has only what version 1 left over.
Calls are plain file operations and do not wait; what needs waiting (a group that still has dying processes) is told.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MEMORY, CPU, ACCOUNT, PIDS, FREEZER = "memory", "cpu", "cpuacct", "pids", "freezer"
CONTROLLERS = (MEMORY, CPU, ACCOUNT, PIDS, FREEZER)

CPU_PERIOD_US = 20_000
"""Length of the periods that a CPU quota counts in. Short: a small share then stops for milliseconds, not for 95 of
each 100. AWS's sandboxes show the same period."""
_QUOTA_MIN_US = 1_000

_FAMILY = "lambdad"
_SUPERVISOR = "lambdad-supervisor"
"""Leaf for the processes of a delegated group: in version 2 a group with controllers below it may hold none."""

_READ_MAX = 64 * 1024
_MAKE_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Counters:
    """memory_peak, memory_current: bytes. cpu: nanoseconds. Zero where the host does not count."""

    memory_peak: int = 0
    memory_current: int = 0
    cpu: int = 0
    oom_kills: int = 0


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """A mounted hierarchy. base: our directory in it, that of the tree."""

    version: int
    mount_point: Path
    base: Path


class CgroupTree:
    """The groups of one driver on this host.

    missing: the controllers that it could not get; groups do without them.
    """

    def __init__(self, name: str, hierarchies: Mapping[str, _Hierarchy]) -> None:
        self._name = name
        self._hierarchies = dict(hierarchies)
        self._claims: list[int] = []
        self.missing: tuple[str, ...] = ()

    @classmethod
    def find(cls, name: str, process: Path = Path("/proc/self")) -> CgroupTree:
        """The tree `name` where `process` may make one. Changes nothing."""
        mounts = _mounted((process / "mountinfo").read_text())
        own = _own_paths((process / "cgroup").read_text())
        found: dict[str, _Hierarchy] = {}
        for mount in mounts:
            parent = _parent_group(mount, own)
            hierarchy = _Hierarchy(mount.version, mount.point, parent / _FAMILY / name)
            for controller in mount.offers():
                if controller not in found or found[controller].version > mount.version:
                    found[controller] = hierarchy
        return cls(name, found)

    def open(self) -> None:
        """Make the tree's directories and turn the controllers on. What cannot be had is in `missing`."""
        for base in self._bases():
            claim = _claim_directory(base)
            if claim is None:
                self._drop(base)
            else:
                self._claims.append(claim)
                _remove_abandoned(base.parent)
        for hierarchy in {id(entry): entry for entry in self._hierarchies.values() if entry.version == 2}.values():
            self._delegate(hierarchy)
        self.missing = tuple(controller for controller in CONTROLLERS if controller not in self._hierarchies)

    def create(self, name: str) -> Cgroup:
        """A new group. Raises OSError, and then no part of it is left."""
        group = self._group(name)
        try:
            group.make()
        except OSError:
            group.remove()
            raise
        return group

    def existing(self) -> list[Cgroup]:
        """The groups that are there, whoever made them."""
        names: set[str] = set()
        for base in self._bases():
            with contextlib.suppress(OSError):
                names |= {entry.name for entry in os.scandir(base) if entry.is_dir()}
        return [self._group(name) for name in sorted(names)]

    def remove(self) -> None:
        """Take the tree's own directories away; its groups must be gone. The family's, too, unless it has others."""
        for base in self._bases():
            for directory in (base, base.parent):
                with contextlib.suppress(OSError):
                    directory.rmdir()
        while self._claims:
            os.close(self._claims.pop())

    def _group(self, name: str) -> Cgroup:
        return Cgroup(
            {controller: str(entry.base / name) for controller, entry in self._hierarchies.items()},
            {controller: entry.version for controller, entry in self._hierarchies.items()},
        )

    def _bases(self) -> list[Path]:
        return list(dict.fromkeys(entry.base for entry in self._hierarchies.values()))

    def _drop(self, base: Path) -> None:
        for controller in [controller for controller, entry in self._hierarchies.items() if entry.base == base]:
            del self._hierarchies[controller]

    def _delegate(self, hierarchy: _Hierarchy) -> None:
        """Version 2: turn our controllers on in every group from the root down to ours."""
        wanted = [name for name, entry in self._hierarchies.items() if entry.base == hierarchy.base]
        steps = [hierarchy.base, *hierarchy.base.parents]
        steps = list(reversed(steps[: steps.index(hierarchy.mount_point) + 1]))
        for controller in wanted:
            if controller in (FREEZER, ACCOUNT):
                continue  # every group has these
            try:
                for group in steps:
                    _turn_on(group, controller)
            except OSError:
                del self._hierarchies[controller]
        if not any((hierarchy.base / name).exists() for name in ("cgroup.freeze",)):
            self._hierarchies.pop(FREEZER, None)


class Cgroup:
    """One group: the same directory in every hierarchy in use."""

    def __init__(self, directories: Mapping[str, str], versions: Mapping[str, int]) -> None:
        self._directories = directories
        self._versions = versions
        self._peak_fd = -1

    @property
    def paths(self) -> list[str]:
        """Its directories, each once."""
        return list(dict.fromkeys(self._directories.values()))

    def make(self) -> None:
        for path in self.paths:
            Path(path).mkdir(mode=0o755, exist_ok=True)

    def open_for_joining(self) -> list[int]:
        """Descriptors: a process that writes `0` to each is in the group. The caller closes them."""
        fds: list[int] = []
        try:
            for path in self.paths:
                fd = os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                fds.append(fd)
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        return fds

    def adopt(self, pid: int) -> None:
        """Move a process into it. Raises OSError, and then it may be in a part of it."""
        for path in self.paths:
            _write_file(f"{path}/cgroup.procs", str(pid))

    def limit(self, *, memory_bytes: int, pids: int) -> None:
        """Set the hard limits; memory is without swap where the kernel can tell them apart."""
        if self._versions.get(MEMORY) == 1:
            self._write(MEMORY, "memory.limit_in_bytes", str(memory_bytes))
            if not self._try_write(MEMORY, "memory.memsw.limit_in_bytes", str(memory_bytes)):
                self._try_write(MEMORY, "memory.swappiness", "0")
        elif MEMORY in self._versions:
            self._write(MEMORY, "memory.max", str(memory_bytes))
            self._try_write(MEMORY, "memory.swap.max", "0")
        if PIDS in self._versions:
            self._write(PIDS, "pids.max", str(pids))

    def limit_cpu(self, cpus: float | None) -> None:
        """Share of CPU time, 1.0 is one whole CPU; None lifts the limit."""
        quota = None if cpus is None else max(_QUOTA_MIN_US, int(cpus * CPU_PERIOD_US))
        try:
            if self._versions.get(CPU) == 1:
                if quota is not None:
                    self._write(CPU, "cpu.cfs_period_us", str(CPU_PERIOD_US))
                self._write(CPU, "cpu.cfs_quota_us", "-1" if quota is None else str(quota))
            elif CPU in self._versions:
                self._write(CPU, "cpu.max", f"{'max' if quota is None else quota} {CPU_PERIOD_US}")
        except OSError as error:
            if error.errno != errno.EINVAL:  # version 1, and a group above ours has a smaller quota: that one holds
                raise

    def controls(self, controller: str) -> bool:
        """Whether this host lets us use `controller`."""
        return controller in self._versions

    def freeze(self) -> None:
        """Stop every process in it; the kernel does so in its own time."""
        self._set_frozen("FROZEN", "1")

    def thaw(self) -> None:
        self._set_frozen("THAWED", "0")

    def counters(self) -> Counters:
        """What it used so far; zeros once it is removed."""
        return Counters(
            memory_peak=self._memory_peak(),
            memory_current=self._number(MEMORY, "memory.usage_in_bytes", "memory.current"),
            cpu=self._cpu_ns(),
            oom_kills=self._field(MEMORY, "memory.oom_control", "memory.events", "oom_kill"),
        )

    def reset_peak(self) -> None:
        """Measure the peak of memory anew; version 2 can since Linux 6.12, and only for a reader that stays."""
        if self._versions.get(MEMORY) == 1:
            self._try_write(MEMORY, "memory.max_usage_in_bytes", "0")
        elif MEMORY in self._versions:
            with contextlib.suppress(OSError):
                if self._peak_fd < 0:
                    self._peak_fd = os.open(f"{self._directories[MEMORY]}/memory.peak", os.O_RDWR | os.O_CLOEXEC)
                os.write(self._peak_fd, b"reset")

    def let_run(self) -> None:
        """Lift the CPU quota and thaw: processes that wait for their share of CPU time would take minutes to die."""
        with contextlib.suppress(OSError):
            self.limit_cpu(None)
        with contextlib.suppress(OSError):
            self.thaw()

    def kill(self) -> None:
        """SIGKILL to everything in it that is there now."""
        self.let_run()
        for path in self.paths:
            if not _try_write_file(f"{path}/cgroup.kill", "1"):
                for pid in _pids(path):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Remove its directories. False if one is busy still: try again a little later."""
        if self._peak_fd >= 0:
            os.close(self._peak_fd)
            self._peak_fd = -1
        gone = True
        for path in self.paths:
            try:
                Path(path).rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                gone = False
        return gone

    def _set_frozen(self, state: str, flag: str) -> None:
        if self._versions.get(FREEZER) == 1:
            self._write(FREEZER, "freezer.state", state)
        elif FREEZER in self._versions:
            self._write(FREEZER, "cgroup.freeze", flag)

    def _memory_peak(self) -> int:
        if self._peak_fd >= 0:
            with contextlib.suppress(OSError, ValueError):
                return int(os.pread(self._peak_fd, _READ_MAX, 0))
        return self._number(MEMORY, "memory.max_usage_in_bytes", "memory.peak")

    def _cpu_ns(self) -> int:
        if self._versions.get(ACCOUNT) == 1:
            return self._number(ACCOUNT, "cpuacct.usage", "")
        return 1000 * self._field(ACCOUNT, "", "cpu.stat", "usage_usec")

    def _number(self, controller: str, first: str, second: str) -> int:
        with contextlib.suppress(ValueError):
            return int(self._read(controller, first, second))
        return 0

    def _field(self, controller: str, first: str, second: str, name: str) -> int:
        for line in self._read(controller, first, second).splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0

    def _read(self, controller: str, first: str, second: str) -> str:
        """A file's text; `first` is its name in version 1, `second` in version 2. Empty if there is none."""
        if controller not in self._versions:
            return ""
        name = first if self._versions[controller] == 1 else second
        return _read_file(f"{self._directories[controller]}/{name}")

    def _write(self, controller: str, name: str, value: str) -> None:
        _write_file(f"{self._directories[controller]}/{name}", value)

    def _try_write(self, controller: str, name: str, value: str) -> bool:
        return _try_write_file(f"{self._directories[controller]}/{name}", value)


@dataclass(frozen=True, slots=True)
class _Mount:
    """A cgroup mount. root: the group that is shown at `point`. names: controllers of version 1."""

    version: int
    point: Path
    root: str
    names: tuple[str, ...]

    def offers(self) -> list[str]:
        if self.version == 1:
            return [name for name in CONTROLLERS if name in self.names]
        listed = _read_file(f"{self.point}/cgroup.controllers").split()
        with_cpu = [ACCOUNT] if CPU in listed else []
        return [name for name in (MEMORY, CPU, PIDS) if name in listed] + with_cpu + [FREEZER]


def _mounted(mountinfo: str) -> list[_Mount]:
    found: list[_Mount] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            version = 2 if kind == "cgroup2" else 1
            found.append(_Mount(version, Path(fields[4]), fields[3], tuple(options.split(","))))
    return found


def _own_paths(text: str) -> dict[str, str]:
    """The path of this process's group by controller; that of version 2 under the empty name."""
    own: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)
    return own


def _parent_group(mount: _Mount, own: Mapping[str, str]) -> Path:
    """Where the family's directory goes: below our own group if systemd delegated it to us, else at the top.

    The top has the same name for every later worker on the same state directory, from whatever session it is started.
    """
    path = own.get("" if mount.version == 2 else mount.names[-1], "/")
    relative = os.path.relpath(path, mount.root)
    group = mount.point if relative == "." or relative.startswith("..") else mount.point / relative
    if group.name == _SUPERVISOR:
        group = group.parent
    return group if mount.version == 2 and group != mount.point and _is_delegated(group) else mount.point


def _is_delegated(group: Path) -> bool:
    for attribute in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(group, attribute) == b"1"
    return False


def _claim_directory(path: Path) -> int | None:
    """Make it and hold a shared lock on it; the descriptor, or None if it cannot be had."""
    for _ in range(_MAKE_ATTEMPTS):
        try:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            claim = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another driver took it or the family's directory away in between
        except OSError:
            return None
        try:
            fcntl.flock(claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(claim), path.stat()):
                return claim
        except OSError:  # another driver is taking it away, or has done so
            pass
        os.close(claim)
    return None


def _remove_abandoned(family: Path) -> None:
    """Take away the trees that nobody holds, as far as no process is in them."""
    for tree in [entry.path for entry in _scan(family) if entry.is_dir(follow_symlinks=False)]:
        with contextlib.suppress(OSError):
            claim = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for directory, _, _ in os.walk(tree, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(directory).rmdir()
            finally:
                os.close(claim)


def _scan(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _turn_on(group: Path, controller: str) -> None:
    """Give `controller` to the groups below `group`."""
    control = f"{group}/cgroup.subtree_control"
    if controller in _read_file(control).split():
        return
    try:
        _write_file(control, f"+{controller}")
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _move_aside(group)
        _write_file(control, f"+{controller}")


def _move_aside(group: Path) -> None:
    """Move the processes of `group` into a leaf below it."""
    leaf = group / _SUPERVISOR
    leaf.mkdir(exist_ok=True)
    for pid in _pids(str(group)):
        with contextlib.suppress(ProcessLookupError):
            _write_file(f"{leaf}/cgroup.procs", str(pid))


def _pids(directory: str) -> Iterable[int]:
    return [int(line) for line in _read_file(f"{directory}/cgroup.procs").split()]


def _read_file(path: str) -> str:
    """The text; empty if the file is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, _READ_MAX).decode()
    except OSError:
        return ""
    finally:
        os.close(fd)


def _write_file(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _try_write_file(path: str, value: str) -> bool:
    try:
        _write_file(path, value)
    except OSError:
        return False
    return True
