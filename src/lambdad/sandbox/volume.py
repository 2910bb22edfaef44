"""The /tmp of sandboxes as values and files: an ext4 file system in a nameless sparse file behind a loop device.

What a function writes to it takes disk, not memory, and a full one is the function's own ENOSPC. A host without loop
devices gets tmpfs of the same size instead. Runs in the mounter's process; nothing here waits for an event loop.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from lambdad.linux import loop, syscalls

_MEBIBYTE = 1024 * 1024
_BLOCK = 4096
_MODE = 0o700
"""Of /tmp itself, as on AWS."""
_MKFS_TIMEOUT_S = 60.0
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_READY_SIZES = 3
_READY_EACH = 2

_ATTRIBUTES = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOATIME


class Store(Protocol):
    """Where one sandbox's files are kept. Methods raise OSError."""

    def mount(self) -> int:
        """A detached mount of it; only one may be attached at a time."""
        ...

    def close(self) -> None: ...


class TemplateStores:
    """Makes ext4 stores by copying the few blocks that a new file system of that size consists of.

    directory: where the files are made; they have no names. Some stores are kept ready, of the sizes asked for last.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._templates: dict[int, _Template] = {}
        self._captured: dict[int, _Captured] = {}
        self._ready: OrderedDict[int, list[_LoopStore]] = OrderedDict()

    def create(self, size_mb: int, owner: tuple[int, int]) -> Store:
        """An empty store that `owner` (user and group ids of the host) may fill with `size_mb` MiB. Raises OSError."""
        ready = self._ready.setdefault(size_mb, [])
        self._ready.move_to_end(size_mb)
        store = ready.pop() if ready else self._make(size_mb)
        try:
            store.give_to(owner)
        except OSError:
            store.close()
            raise
        return store

    def capture(self, number: int, store: Store) -> bool:
        """Keep what is in `store` for `create_like(number)`; False, and nothing is kept, if it is empty.

        Raises OSError. It stays in use: its file system stands still while its blocks are copied.
        """
        if not isinstance(store, _LoopStore):
            raise OSError(errno.EOPNOTSUPP, "only a /tmp on a disk can be captured")
        captured = store.capture(self._directory)
        if captured is None:
            return False
        self.forget(number)
        self._captured[number] = captured
        return True

    def create_like(self, number: int) -> Store:
        """A store with what was captured under `number`. Raises OSError."""
        captured = self._captured.get(number)
        if captured is None:
            raise OSError(errno.ENOENT, "what the snapshot had in /tmp went away with an earlier mounter")
        return self._attach(captured.copy(self._directory))

    def forget(self, number: int) -> None:
        """Drop what was captured, if anything was."""
        captured = self._captured.pop(number, None)
        if captured is not None:
            captured.close()

    def prepare(self) -> bool:
        """Make one store of the size asked for last, to have it ready; False if there are enough. Raises OSError."""
        if not self._ready:
            return False
        if len(self._ready) > _READY_SIZES:
            _, forgotten = self._ready.popitem(last=False)
            for store in forgotten:
                store.close()
        size_mb, ready = next(reversed(self._ready.items()))
        if len(ready) >= _READY_EACH:
            return False
        ready.append(self._make(size_mb))
        return True

    def close(self) -> None:
        """Free those that are ready."""
        while self._ready:
            for store in self._ready.popitem()[1]:
                store.close()

    def _make(self, size_mb: int) -> _LoopStore:
        template = self._templates.get(size_mb)
        if template is None:
            template = self._templates[size_mb] = _make_template(self._directory, size_mb)
        backing = loop.open_unnamed(self._directory)
        try:
            os.ftruncate(backing, template.size)
            for offset, data in template.extents:
                os.pwrite(backing, data, offset)
        except OSError:
            os.close(backing)
            raise
        return self._attach(backing)

    @staticmethod
    def _attach(backing: int) -> _LoopStore:
        """The store in an open file, which is closed or becomes the store's."""
        try:
            return _LoopStore(loop.attach(backing), backing)
        except OSError:
            os.close(backing)
            raise


_FILES_PER_MB = 256
"""Of a /tmp in memory: as many as ext4 gives a small disk."""


class MemoryStore:
    """tmpfs: for hosts without loop devices. What is in it counts as memory of the function.

    place: an empty directory of our own where it stays mounted between sandboxes.
    """

    def __init__(self, place: Path, size_mb: int, owner: tuple[int, int]) -> None:
        self._place = place
        place.mkdir(mode=0o700, parents=True)
        options: dict[str, str | None] = {"size": f"{size_mb}m", "mode": f"{_MODE:o}"}
        options["nr_inodes"] = str(size_mb * _FILES_PER_MB)  # empty files take memory that no size counts
        options |= {"uid": str(owner[0]), "gid": str(owner[1])}
        mount_fd = syscalls.make_filesystem("tmpfs", options, _ATTRIBUTES)
        try:
            syscalls.move_mount(mount_fd, str(place))
        finally:
            os.close(mount_fd)

    def mount(self) -> int:
        mount_fd = syscalls.open_tree(str(self._place), recursive=False)
        syscalls.set_mount_attributes(mount_fd, 0, recursive=False)
        return mount_fd

    def close(self) -> None:
        with contextlib.suppress(OSError):
            syscalls.umount(str(self._place), syscalls.MNT_DETACH)
            self._place.rmdir()


class _Template:
    """size: bytes of the file. extents: what is not zero in it."""

    def __init__(self, size: int, extents: list[tuple[int, bytes]]) -> None:
        self.size = size
        self.extents = extents


class _Captured:
    """A copy of a file system: fd is a nameless file of `size` bytes; extents: offset and length of what is data."""

    def __init__(self, fd: int, size: int, extents: list[tuple[int, int]]) -> None:
        self._fd = fd
        self._size = size
        self._extents = extents

    @classmethod
    def of(cls, backing: int, directory: str) -> _Captured:
        size = os.fstat(backing).st_size
        extents = list(_data_extents(backing, size))
        whole = cls(backing, size, extents)
        return cls(whole.copy(directory), size, extents)

    def copy(self, directory: str) -> int:
        """Another nameless file with the same content. Raises OSError."""
        target = loop.open_unnamed(directory)
        try:
            os.ftruncate(target, self._size)
            for offset, length in self._extents:
                end = offset + length
                while offset < end:
                    copied = os.copy_file_range(self._fd, target, end - offset, offset, offset)
                    if not copied:
                        raise OSError(errno.EIO, "the file of a volume became shorter")
                    offset += copied
        except OSError:
            os.close(target)
            raise
        return target

    def close(self) -> None:
        os.close(self._fd)


class _LoopStore:
    """Mounted ahead of its first use: that is most of what it costs."""

    def __init__(self, device: loop.LoopDevice, backing: int) -> None:
        self._device = device
        self._backing = backing
        try:
            self._mount_fd = _mount_ext4(device.path)
        except OSError:
            os.close(device.fd)
            raise

    def capture(self, directory: str) -> _Captured | None:
        """A copy of what is in it; None if there are no files."""
        mount_fd = _mount_ext4(self._device.path)  # the same file system once more: the other mount is in a sandbox
        root = -1
        try:
            root = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount_fd)
            if not os.listdir(root):  # noqa: PTH208
                return None
            fcntl.ioctl(root, _FIFREEZE, 0)
            try:
                return _Captured.of(self._backing, directory)
            finally:
                fcntl.ioctl(root, _FITHAW, 0)
        finally:
            if root >= 0:
                os.close(root)
            os.close(mount_fd)

    def give_to(self, owner: tuple[int, int]) -> None:
        _with_root_directory(self._mount_fd, lambda directory: os.fchown(directory, *owner))

    def mount(self) -> int:
        if self._mount_fd >= 0:
            mount_fd, self._mount_fd = self._mount_fd, -1
            return mount_fd
        return _mount_ext4(self._device.path)

    def close(self) -> None:
        if self._mount_fd >= 0:
            os.close(self._mount_fd)
            self._mount_fd = -1
        os.close(self._device.fd)
        os.close(self._backing)


def _mount_ext4(device: str) -> int:
    # No barriers: nothing in /tmp is meant to survive the machine. `discard` gives deleted files back to the disk.
    options: dict[str, str | None] = {"source": device, "nobarrier": None, "discard": None, "noinit_itable": None}
    mount_fd = syscalls.make_filesystem("ext4", options, _ATTRIBUTES)
    try:
        syscalls.set_mount_attributes(mount_fd, 0, recursive=False)
    except OSError:
        os.close(mount_fd)
        raise
    return mount_fd


def _with_root_directory(mount_fd: int, act: Callable[[int], None]) -> None:
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount_fd)
    try:
        act(directory)
    finally:
        os.close(directory)


def _make_template(directory: str, size_mb: int) -> _Template:
    # Inode tables, bitmaps and the kernel's reserve (2 %, at most 16 MiB) are not to be paid by the function.
    size = (size_mb + size_mb // 50 + 4 + min(16, size_mb // 40)) * _MEBIBYTE
    backing = loop.open_unnamed(directory)
    try:
        os.ftruncate(backing, size)
        _format(backing)
        device = loop.attach(backing)
        try:
            mount_fd = _mount_ext4(device.path)
            try:
                _with_root_directory(mount_fd, _empty)
            finally:
                os.close(mount_fd)
            os.fsync(device.fd)
        finally:
            os.close(device.fd)
        return _Template(size, _extents(backing, size))
    finally:
        os.close(backing)


def _format(backing: int) -> None:
    path = f"/proc/self/fd/{backing}"
    features = "^has_journal,^resize_inode"
    command = ["mkfs.ext4", "-q", "-F", "-b", str(_BLOCK), "-m", "0", "-O", features, "-E", "lazy_itable_init=1", path]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        subprocess.run(
            command,
            check=True,
            pass_fds=(backing,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_MKFS_TIMEOUT_S,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        raise OSError(f"mkfs.ext4 failed: {error.stderr.decode(errors='replace').strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise OSError(f"mkfs.ext4 took more than {_MKFS_TIMEOUT_S:.0f} seconds") from error


def _empty(directory: int) -> None:
    os.rmdir("lost+found", dir_fd=directory)
    os.fchmod(directory, _MODE)


def _extents(fd: int, size: int) -> list[tuple[int, bytes]]:
    """The blocks of a sparse file that are not zero, neighbours joined."""
    found: list[tuple[int, bytes]] = []
    for start, length in _data_extents(fd, size):
        for at in range(start, start + length, _BLOCK):
            data = os.pread(fd, _BLOCK, at)
            if not data.strip(b"\0"):
                continue
            if found and found[-1][0] + len(found[-1][1]) == at:
                found[-1] = (found[-1][0], found[-1][1] + data)
            else:
                found.append((at, data))
    return found


def _data_extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of what is not a hole in a sparse file."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:  # ENXIO: a hole up to the end
            return
        offset = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, offset - start
