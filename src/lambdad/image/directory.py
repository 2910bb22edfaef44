"""A plain directory as the only layer of an image.

Opens relative to directory descriptors and never follows a link, so a tree that changes meanwhile cannot lead the
reader out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from lambdad.image.errors import InvalidImage
from lambdad.image.limits import NAME_MAX, Limits
from lambdad.image.tar import Entry, Kind
from lambdad.image.tree import Attributes, Xattrs

_PIECE = 1 << 20


class DirectoryReader:
    """Entries of a directory, parents first, names in order."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._file: BinaryIO | None = None
        self._left = 0
        self._links: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def pour(self, write: Callable[[memoryview], object]) -> None:
        """Hand out the content of the current file. Raises InvalidImage if the file has changed its size."""
        file, left, self._left = self._file, self._left, 0
        while file is not None and left:
            piece = file.read(min(left, _PIECE))
            if not piece:
                raise InvalidImage(f"a file below {self._path} became shorter while it was read")
            write(memoryview(piece))
            left -= len(piece)

    def __iter__(self) -> Iterator[Entry]:
        top = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        yield Entry(Kind.DIRECTORY, (), _attributes(os.fstat(top), top))
        yield from self._walk(top, ())

    def _walk(self, directory: int, path: tuple[bytes, ...]) -> Iterator[Entry]:
        """Everything below an open directory, which is closed at the end."""
        if len(path) >= self._limits.depth:
            raise InvalidImage(f"{self._path} has more than {self._limits.depth} directories inside one another")
        try:
            for name in sorted(map(os.fsencode, os.listdir(directory))):
                here = (*path, name)
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                    yield Entry(Kind.DIRECTORY, here, _attributes(status, inner))
                    yield from self._walk(inner, here)
                else:
                    yield from self._leaf(directory, name, here, status)
        finally:
            os.close(directory)

    def _leaf(self, directory: int, name: bytes, path: tuple[bytes, ...], status: os.stat_result) -> Iterator[Entry]:
        if len(name) > NAME_MAX:
            raise InvalidImage(f"{name!r} is longer than {NAME_MAX} bytes")
        identity = (status.st_dev, status.st_ino)
        first = self._links.setdefault(identity, path) if status.st_nlink > 1 else path
        if first != path:
            yield Entry(Kind.HARDLINK, path, _attributes(status, None), link_path=first)
        elif stat.S_ISREG(status.st_mode):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(name, flags, dir_fd=directory), "rb", buffering=0) as file:
                now = os.fstat(file.fileno())
                if not stat.S_ISREG(now.st_mode):
                    raise InvalidImage(f"{os.fsdecode(name)!r} below {self._path} changed while it was read")
                self._file, self._left = file, now.st_size
                yield Entry(Kind.FILE, path, _attributes(now, file.fileno()), size=now.st_size)
                self._file = None
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=directory)
            yield Entry(Kind.SYMLINK, path, _attributes(status, None), len(target), target)
        elif stat.S_ISFIFO(status.st_mode):
            yield Entry(Kind.FIFO, path, _attributes(status, None))
        elif not stat.S_ISSOCK(status.st_mode):
            raise InvalidImage(f"{os.fsdecode(name)!r} below {self._path} is a device node: images may not have any")


def _attributes(status: os.stat_result, descriptor: int | None) -> Attributes:
    return Attributes(
        status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, _xattrs(descriptor) if descriptor else ()
    )


def _xattrs(descriptor: int) -> Xattrs:
    try:
        names = os.listxattr(descriptor)
    except OSError:
        return ()
    return tuple(sorted((os.fsencode(name), os.getxattr(descriptor, name)) for name in names))
