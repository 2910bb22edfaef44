"""What a node holds of its host, and what is left of it: processes, mounts, cgroups and loop devices.

They are told from those of other programs by the node's data directory, which must therefore have a name of its own
(a `mkdtemp`). Only looks, never removes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
_MARK = "lambdad"


@dataclass(frozen=True, slots=True, order=True)
class Process:
    """A process of this host; `started` (clock ticks since boot) tells it from a later one with its pid."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """processes: of the node and of its sandboxes. cgroups: the node's topmost directories."""

    processes: frozenset[Process]
    mounts: tuple[str, ...]
    loop_devices: tuple[str, ...]
    cgroups: frozenset[Path]


def list_holdings(data_dir: Path, node_pid: int | None = None) -> Holdings:
    """Everything on this host that names `data_dir`, and the cgroups of the processes that do.

    node_pid: the node's first process; it and all below it belong to the node whatever they name.
    """
    pids = set(_processes_that_name(os.fsencode(data_dir)))
    if node_pid is not None:
        pids |= {node_pid, *descendants(node_pid)}
    processes = frozenset(process for pid in pids if (process := _identify(pid)) is not None)
    cgroups = {path for pid in pids for path in _own_cgroups(pid)}
    return Holdings(processes, tuple(_mounts(str(data_dir))), tuple(_loop_devices(str(data_dir))), frozenset(cgroups))


def describe_leftovers(data_dir: Path, held: Holdings) -> list[str]:
    """What is still there, a sentence each. held: what `list_holdings` said while the node was running."""
    now = list_holdings(data_dir)
    alive = now.processes | {process for process in held.processes if _identify(process.pid) == process}
    found = [f"process {process.pid}: {_command_line(process.pid)}" for process in sorted(alive)]
    found += [f"mount: {mount}" for mount in now.mounts]
    found += [f"loop device: {device}" for device in now.loop_devices]
    found += [f"cgroup: {path}" for path in sorted(held.cgroups | now.cgroups) if path.is_dir()]
    return found


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, in no order; those that end meanwhile may be missing."""
    children: dict[int, list[int]] = {}
    for candidate in _pids():
        parent = _parent(candidate)
        if parent is not None:
            children.setdefault(parent, []).append(candidate)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _pids() -> Iterable[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int | None:
    fields = _status_fields(pid)
    return int(fields[1]) if fields else None


def _identify(pid: int) -> Process | None:
    """None if it has ended, or waits only for its parent to ask how."""
    fields = _status_fields(pid)
    return None if not fields or fields[0] in (b"Z", b"X") else Process(pid, int(fields[19]))


def _status_fields(pid: int) -> list[bytes]:
    """proc_pid_stat(5) from its third field on; empty if the process has gone."""
    # The command, in parentheses, may hold anything: what follows the last one is fields.
    return _read(_PROC / str(pid) / "stat").rpartition(b")")[2].split()


def _processes_that_name(data_dir: bytes) -> Iterable[int]:
    own = os.getpid()
    for pid in _pids():
        if pid == own:
            continue
        directory = _PROC / str(pid)
        texts = (_read(directory / "cmdline"), _read(directory / "environ"), _link(directory / "cwd"))
        # The sandboxes' processes name it only in their own mount namespace.
        if any(data_dir in text for text in texts) or _in_other_namespace_naming(directory, data_dir):
            yield pid


def _in_other_namespace_naming(directory: Path, data_dir: bytes) -> bool:
    if _link(directory / "ns" / "mnt") == _link(_PROC / "self" / "ns" / "mnt"):
        return False
    return data_dir in _read(directory / "mountinfo")


def _mounts(data_dir: str) -> Iterable[str]:
    return [line for line in (_PROC / "self" / "mountinfo").read_text().splitlines() if data_dir in line]


def _loop_devices(data_dir: str) -> Iterable[str]:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        file = os.fsdecode(_read(backing)).strip()
        if file.startswith(data_dir):
            yield f"/dev/{backing.parts[-3]} on {file}"


def _own_cgroups(pid: int) -> Iterable[Path]:
    for line in os.fsdecode(_read(_PROC / str(pid) / "cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        parts = path.strip("/").split("/")
        marked = next((index for index, part in enumerate(parts) if part.startswith(_MARK)), None)
        if marked is None:
            continue
        below = Path(*parts[: marked + 2])  # `lambdad/NODE`: the first part is shared by all nodes of the host
        for hierarchy in ("", "unified", *controllers.split(",")):
            directory = _CGROUP / hierarchy / below
            if directory.is_dir():
                yield directory


def _command_line(pid: int) -> str:
    return os.fsdecode(_read(_PROC / str(pid) / "cmdline").replace(b"\0", b" ")).strip()


def _read(path: Path) -> bytes:
    """The file's bytes; nothing if the process has gone or is not ours to look at."""
    try:
        return path.read_bytes()
    except (OSError, ProcessLookupError):
        return b""


def _link(path: Path) -> bytes:
    try:
        return os.fsencode(path.readlink())
    except OSError:
        return b""
