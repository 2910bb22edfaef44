"""What a sandbox is made of: values, no effects.

A driver turns a `SandboxSpec` into walls. Nothing here says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bind:
    """A host directory or file shown read-only inside, nosuid and nodev."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Overlay:
    """Host directories merged read-only at `target`; the first of `lowers` is on top."""

    lowers: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True)
class HostRoot:
    """The root file system is made of the host's own files: /usr, /lib and the like, read-only, and a minimal /etc."""


@dataclass(frozen=True, slots=True)
class DirectoryRoot:
    """The root file system is a directory of the host (an unpacked base, a mounted image), shown read-only."""

    path: str


@dataclass(frozen=True, slots=True)
class Exec:
    """Start by executing a program that the sandbox can see."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fork:
    """Start as a fork of the zygote `zygote` (see `ZygoteSpec`): only trusted modules are loaded in it."""

    zygote: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Start as a fork of a snapshot (see `interface.Snapshot`), with the mounts that it has.

    Of the spec, its environment replaces variables of the same name, its limits hold, and everything else is ignored.
    """

    snapshot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZygoteSpec:
    """A runtime's zygote: an interpreter with the runtime's own modules loaded and nothing of any function.

    name: what `Fork.zygote` says, such as `python3.11`.
    interpreter: absolute path of the interpreter on the host.
    entry: absolute path of a Python file with two functions:
        `preload() -> None`, called once in the zygote, and
        `run() -> None`, called in the sandbox's process behind its walls with `os.environ` and the working directory
        set; it does not return normally.
    binds: what every sandbox of this runtime sees besides the root (the interpreter's prefix, /var/runtime).
    path: entries put in front of `sys.path` before `entry` is loaded.
    """

    name: str
    interpreter: str
    entry: str
    binds: tuple[Bind, ...] = ()
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One sandbox.

    start: how the runtime process comes to life.
    mounts: on top of the root, in this order.
    environment: the whole environment of the process, nothing is added or inherited.
    memory_bytes, pids, files: hard limits. cpus: share of CPU time, 1.0 is one whole vCPU.
    egress: `none`, `internet` or `host`.
    forks: whether this is to become a snapshot, see `SandboxDriver.launch_snapshot`.
    held: whether the runtime process waits, behind its walls, for `Sandbox.proceed`.
    """

    start: Exec | Fork | Restore
    root: HostRoot | DirectoryRoot = field(default_factory=HostRoot)
    mounts: tuple[Bind | Overlay, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/var/task"
    hostname: str = "169.254.100.1"
    memory_bytes: int
    cpus: float
    pids: int
    files: int
    egress: str = "none"
    forks: bool = False
    held: bool = False
