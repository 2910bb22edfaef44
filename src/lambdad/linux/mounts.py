"""Detached mounts: made here as descriptors, attached by whoever receives them, gone when nobody holds them.

Every path is looked up by the caller's process, so a sandbox that is given a mount needs no way to the host's files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from lambdad.linux import syscalls

READ_ONLY = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV

LOWERS_MAX = 12
"""fsconfig takes 255 bytes, a lower directory needs up to 20 (`/proc/self/fd/12345:`)."""


def clone_read_only(path: str) -> int:
    """The file or directory at `path` with everything mounted below it, read-only, nosuid, nodev."""
    mount_fd = syscalls.open_tree(path)
    return _with_attributes(mount_fd, READ_ONLY)


def merge_read_only(lowers: Sequence[str]) -> int:
    """Directories merged into one, read-only, nosuid, nodev; the first is on top. Raises OSError, ValueError."""
    if len(lowers) == 1:
        return clone_read_only(lowers[0])
    if not 0 < len(lowers) <= LOWERS_MAX:
        raise ValueError(f"an overlay takes 1 to {LOWERS_MAX} directories, not {len(lowers)}")
    # Named by descriptor: no character in a path needs an escape, and none is seen in the sandbox's mount table.
    with _Directories(lowers) as paths:
        return syscalls.make_filesystem("overlay", {"source": "overlay", "lowerdir": ":".join(paths)}, READ_ONLY)


def root_with_mount_points(path: str, directories: Sequence[str], files: Sequence[str], scratch: str) -> int:
    """The directory `path` as a read-only root in which each of `directories` and `files` exists to be mounted on.

    What it lacks is made on a small overlay; nothing is written to `path`. Links are followed as inside the root.
    scratch: an empty directory that is mounted on for a moment.
    """
    with _Directories([path]) as lower:
        root = os.open(lower[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if all(_exists(root, point) for point in (*directories, *files)):
                return clone_read_only(lower[0])
        finally:
            os.close(root)
        merged = _with_upper(lower[0], scratch)
    try:
        for point in directories:
            _make_in_root(merged, point, is_directory=True)
        for point in files:
            _make_in_root(merged, point, is_directory=False)
    except OSError:
        os.close(merged)
        raise
    return _with_attributes(merged, READ_ONLY)


def _with_upper(lower: str, scratch: str) -> int:
    """`lower` with a writable layer in memory above it, as a detached mount."""
    upper = syscalls.make_filesystem("tmpfs", {"size": "1m", "mode": "755"}, 0)
    try:
        # Before Linux 6.15 no layer of an overlay may be a detached mount; the overlay keeps a mount of its own of it.
        syscalls.move_mount(upper, scratch)
        try:
            for name in ("upper", "work"):
                os.mkdir(name, 0o755, dir_fd=upper)
            here = f"/proc/self/fd/{upper}"
            options: dict[str, str | None] = {"lowerdir": lower, "upperdir": f"{here}/upper"}
            options |= {"workdir": f"{here}/work", "source": "overlay"}
            return syscalls.make_filesystem("overlay", options, syscalls.MOUNT_ATTR_NOSUID)
        finally:
            syscalls.umount(scratch, syscalls.MNT_DETACH)
    finally:
        os.close(upper)


def _with_attributes(mount_fd: int, attributes: int) -> int:
    try:
        syscalls.set_mount_attributes(mount_fd, attributes)
    except OSError:
        os.close(mount_fd)
        raise
    return mount_fd


def _exists(root: int, path: str) -> bool:
    try:
        os.close(syscalls.open_in_root(root, path, os.O_PATH))
    except FileNotFoundError:
        return False
    return True


def _make_in_root(root: int, path: str, *, is_directory: bool) -> None:
    """Make `path` and the directories above it, below the directory `root`."""
    parts = [part for part in path.split("/") if part]
    for index in range(1, len(parts) + 1):
        above, name = "/".join(parts[: index - 1]) or ".", parts[index - 1]
        if _exists(root, "/".join(parts[:index])):
            continue
        parent = syscalls.open_in_root(root, above, os.O_PATH | os.O_DIRECTORY)
        try:
            if is_directory or index < len(parts):
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644, dir_fd=parent))
        finally:
            os.close(parent)


class _Directories:
    """Directories held open for as long as a file system is being made of them."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._fds: list[int] = []

    def __enter__(self) -> list[str]:
        try:
            for path in self._paths:
                self._fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError:
            self._close()
            raise
        return [f"/proc/self/fd/{fd}" for fd in self._fds]

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for fd in self._fds:
            os.close(fd)
