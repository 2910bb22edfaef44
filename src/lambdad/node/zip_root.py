"""The root file system of functions from zips: the host's own files, or a base.

A base is what `lambdad base build` makes, or any directory that is a root file system, such as an image that was
unpacked or mounted. A sandbox gets it in the same way as the files of a container image. An interpreter comes from the
base if it has one under /var/lang, as AWS's base images have; else this host's is shown there, if it can run on the
base's libraries.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import assert_never

from lambdad.pack.elf import ElfError
from lambdad.pack.errors import PackError
from lambdad.pack.resolver import Resolver
from lambdad.pack.target import LIBRARY_PATH, arch_named
from lambdad.pack.tree import Place, Root
from lambdad.runtimes.runtime import (
    LANGUAGE_DIRECTORY,
    JavaRuntime,
    ManagedRuntime,
    NodeRuntime,
    ProvidedRuntime,
    PythonRuntime,
    RubyRuntime,
    Runtime,
)
from lambdad.runtimes.start import runtime_command
from lambdad.sandbox.spec import Bind, DirectoryRoot, HostRoot, Overlay

NEEDED = ("bin/sh", "etc", "usr")
"""What a root file system must have to be one."""


class BaseUnusable(Exception):
    """The base cannot be the root of sandboxes; the text says why, and what to do."""


class ZipRoot:
    """directory: of the base, with or without `rootfs/` in it; None for the host's own files. Raises `BaseUnusable`."""

    def __init__(self, directory: Path | None) -> None:
        self._rootfs = None if directory is None else _find_rootfs(directory)

    @property
    def is_base(self) -> bool:
        return self._rootfs is not None

    @property
    def spec(self) -> HostRoot | DirectoryRoot:
        return HostRoot() if self._rootfs is None else DirectoryRoot(str(self._rootfs))

    def mounts(self, runtime: Runtime, mounts: Sequence[Bind | Overlay]) -> tuple[Bind | Overlay, ...]:
        """`mounts` of a function, without this host's interpreter where the base has its own."""
        if self._rootfs is None or isinstance(runtime, ProvidedRuntime) or not self._has_interpreter(runtime):
            return tuple(mounts)
        hidden = (LANGUAGE_DIRECTORY, runtime.prefix)
        return tuple(mount for mount in mounts if mount.target not in hidden)

    def why_not(self, runtime: Runtime) -> str | None:
        """Why a runtime cannot run here, and what to do; None if it can."""
        match runtime:
            case ProvidedRuntime():
                return None
            case PythonRuntime() | NodeRuntime() | RubyRuntime() | JavaRuntime():
                if self._rootfs is None or self._has_interpreter(runtime):
                    return None
                return _explain(self._rootfs, runtime.identifier, runtime.interpreter, runtime.prefix)
            case _:
                assert_never(runtime)

    def _has_interpreter(self, runtime: ManagedRuntime) -> bool:
        assert self._rootfs is not None
        program = runtime_command(runtime, 0)[0]
        found = Root(Place("/", (self._rootfs,))).lookup(program)
        return found is not None and found.is_file


def _find_rootfs(directory: Path) -> Path:
    rootfs = directory / "rootfs" if (directory / "rootfs").is_dir() else directory
    root = Root(Place("/", (rootfs,)))
    for name in NEEDED:
        if root.lookup(f"/{name}") is None:
            raise BaseUnusable(
                f"base {directory} is no root file system: it has no /{name}. Make one with "
                f"`lambdad base build -o {directory}`, or leave the setting out to use the host's files"
            )
    return rootfs.resolve()


@lru_cache(maxsize=64)
def _explain(rootfs: Path, identifier: str, interpreter: str, prefix: str) -> str | None:
    remedy = (
        f"Put an interpreter into the base (lambdad base build --include ...), or install one of its own prefix that "
        f"runs on the base's libraries, then restart lambdad. The base is {rootfs}."
    )
    if f"{prefix}/".startswith("/usr/"):
        return f"{identifier} of this host is part of the host's /usr, which functions on a base do not see. {remedy}"
    root = Root(Place("/", (rootfs,)), Place(prefix, (Path(prefix),)), Place(LANGUAGE_DIRECTORY, (Path(prefix),)))
    try:
        arch = arch_named(os.uname().machine)
        resolver = Resolver(root, arch, library_path=f"{LANGUAGE_DIRECTORY}/lib:{LIBRARY_PATH}")
        linkage = resolver.link_program(interpreter)
    except (PackError, ElfError) as error:
        return f"{identifier} of this host cannot be read: {error}. {remedy}"
    lacks = [missing.name for missing in linkage.missing]
    lacks += [f"{entry.version} of {entry.library}" for entry in linkage.unversioned if not entry.weak]
    if lacks:
        return f"{identifier} of this host cannot run on the base, which lacks {', '.join(lacks[:8])}. {remedy}"
    return None
