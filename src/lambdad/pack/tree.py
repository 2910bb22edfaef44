"""A file system put together from directories of this machine, looked at without entering it.

`Root` resolves paths as the kernel would inside: a base at `/`, layers merged at `/opt`, code at `/var/task`. A
symbolic link can never lead out to this machine's own files. It reads; it never writes or mounts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LINKS_MAX = 40
"""The kernel's own limit (ELOOP)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A file that exists. path: inside, without links; host: where its bytes are; identity: device and inode."""

    path: str
    host: Path
    identity: tuple[int, int]
    mode: int

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True, slots=True)
class Place:
    """Directories of this machine merged at `target`; the first one wins."""

    target: str
    directories: tuple[Path, ...]


class _LinkLoop(Exception):
    """More links than the kernel follows."""


class Root:
    """The merged tree."""

    def __init__(self, *places: Place) -> None:
        self._places = sorted(places, key=lambda place: len(place.target), reverse=True)
        self._states: dict[str, tuple[Path, os.stat_result] | None] = {}

    def lookup(self, path: str) -> Node | None:
        """What `path` (absolute) leads to, links followed; None if there is nothing, or only a loop."""
        try:
            return self._walk(path, follow_last=True)
        except _LinkLoop:
            return None

    def is_loop(self, path: str) -> bool:
        """Whether `path` leads into a loop of links, where the kernel says ELOOP instead of ENOENT."""
        try:
            self._walk(path, follow_last=True)
        except _LinkLoop:
            return True
        return False

    def lookup_link(self, path: str) -> Node | None:
        """What stands at `path` itself, its last link not followed."""
        try:
            return self._walk(path, follow_last=False)
        except _LinkLoop:
            return None

    def list_directory(self, path: str) -> list[str]:
        """Names in the directory `path`, sorted, merged over its places; empty if it is not a directory."""
        node = self.lookup(path)
        if node is None or not node.is_directory:
            return []
        names: set[str] = set()
        for host in self._candidates(node.path):
            if host.is_dir() and not host.is_symlink():
                names.update(entry.name for entry in host.iterdir())
        return sorted(names)

    def walk(self, path: str) -> Iterator[Node]:
        """Every node under the directory `path`, itself not included, links not followed, in sorted order."""
        for name in self.list_directory(path):
            node = self.lookup_link(f"{path.rstrip('/')}/{name}")
            if node is None:
                continue
            yield node
            if node.is_directory:
                yield from self.walk(node.path)

    def _walk(self, path: str, *, follow_last: bool) -> Node | None:
        done: list[str] = []
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del done[-1:]
                continue
            here = "/" + "/".join([*done, name])
            state = self._state(here)
            if state is None:
                return None
            host, info = state
            if stat.S_ISLNK(info.st_mode) and (pending or follow_last):
                if (links := links + 1) > LINKS_MAX:
                    raise _LinkLoop
                target = os.readlink(host)  # noqa: PTH115 - Path would normalise it
                if target.startswith("/"):
                    done = []
                pending.extend(target.split("/")[::-1])
                continue
            if any(part not in ("", ".") for part in pending) and not stat.S_ISDIR(info.st_mode):
                return None
            done.append(name)
        final = "/" + "/".join(done)
        state = self._state(final)
        if state is None:
            return None
        host, info = state
        return Node(final, host, (info.st_dev, info.st_ino), info.st_mode)

    def _candidates(self, path: str) -> Iterator[Path]:
        for place in self._places:
            if place.target == "/" or path == place.target or path.startswith(place.target + "/"):
                relative = path[len(place.target) :].lstrip("/") if place.target != "/" else path.lstrip("/")
                for directory in place.directories:
                    yield directory / relative
                return

    def _state(self, path: str) -> tuple[Path, os.stat_result] | None:
        if path in self._states:
            return self._states[path]
        found: tuple[Path, os.stat_result] | None = None
        for host in self._candidates(path):
            try:
                found = host, host.lstat()
            except (OSError, ValueError):
                continue
            break
        else:
            found = self._above_a_place(path)
        self._states[path] = found
        return found

    def _above_a_place(self, path: str) -> tuple[Path, os.stat_result] | None:
        """A directory that is there only so that something can be mounted below it."""
        for place in self._places:
            if place.target.startswith(path + "/"):
                return place.directories[0], place.directories[0].stat()
        return None
