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


@dataclass(frozen=True, slots=True)
class Holdings:
    """processes: of the node and of its sandboxes, by pid. cgroups: the topmost directories that are lambdad's own."""

    processes: frozenset[int]
    mounts: tuple[str, ...]
    loop_devices: tuple[str, ...]
    cgroups: frozenset[Path]


def list_holdings(data_dir: Path) -> Holdings:
    """Everything on this host that names `data_dir`, and the cgroups of the processes that do."""
    name = os.fsencode(data_dir)
    processes = frozenset(_processes_that_name(name))
    cgroups = {path for pid in processes for path in _own_cgroups(pid)}
    return Holdings(processes, tuple(_mounts(str(data_dir))), tuple(_loop_devices(str(data_dir))), frozenset(cgroups))


def describe_leftovers(data_dir: Path, held: Holdings) -> list[str]:
    """What is still there, a sentence each. held: what `list_holdings` said while the node was running."""
    now = list_holdings(data_dir)
    found = [f"process {pid}: {_command_line(pid)}" for pid in sorted(now.processes)]
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
    text = _read(_PROC / str(pid) / "stat")
    # The command, in parentheses, may hold anything: what follows the last one is fields.
    fields = text.rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None


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
        below = Path(*parts[: marked + 1])
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
