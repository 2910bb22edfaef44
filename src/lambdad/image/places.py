"""Which bytes of a finished image belong to which file: what the readers of both formats find, and their limits.

The opposite of `layout`: that decides where things go, this says where they are, from nothing but the image. Made for
images that lambdad wrote; what its writers would not write is an `InvalidImage`, never a loop or an endless read.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from lambdad.image.errors import InvalidImage
from lambdad.image.limits import NAME_MAX, Limits

ReadAt = Callable[[int, int], bytes]
"""Exactly so many bytes from an offset of the image. Asked for pieces of at most `PIECE` bytes."""

PIECE = 64 * 1024
_LISTING_MAX = 256 * 1024 * 1024
Extent = tuple[int, int]
"""Offset in the image and length, in bytes."""


class Kind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"


def kind_of(mode: int) -> Kind:
    """mode: of an inode, as both formats and `stat` have it."""
    if stat.S_ISREG(mode):
        return Kind.FILE
    return Kind.DIRECTORY if stat.S_ISDIR(mode) else Kind.OTHER


@dataclass(frozen=True, slots=True)
class Place:
    """One inode. path: its first name, without leading slash; empty for the root. inode: its own record.

    extents: a file's content without holes, a directory's listing, a long link's target.
    """

    path: bytes
    kind: Kind
    inode: Extent
    extents: tuple[Extent, ...]


class Walk:
    """What a reader has still to visit, and that it visits nothing twice and nothing beyond the limits."""

    def __init__(self, root: int, limits: Limits) -> None:
        self._limits = limits
        self._seen = {root}
        self._waiting: list[tuple[bytes, int, int]] = [(b"", root, 0)]
        self._depth = 0

    def next(self) -> tuple[bytes, int] | None:
        """Path and number of an inode; None at the end. A directory's entries come right behind it, in order."""
        if not self._waiting:
            return None
        path, number, self._depth = self._waiting.pop()
        return path, number

    def enter(self, path: bytes, entries: list[tuple[bytes, int]]) -> None:
        """The entries of the directory that `next` gave. Raises `InvalidImage`."""
        found = []
        for name, number in entries:
            if name in (b".", b".."):
                continue
            if not name or len(name) > NAME_MAX or b"/" in name or b"\0" in name:
                raise InvalidImage(f"a directory of the image has an entry {name!r}")
            if number not in self._seen:  # else: another name of the same file
                self._seen.add(number)
                found.append((path + b"/" + name if path else name, number, self._depth + 1))
        if len(self._seen) > self._limits.entries or (found and self._depth >= self._limits.depth):
            raise InvalidImage("the image has more files, or deeper directories, than lambdad writes")
        self._waiting += reversed(found)


def read_range(read: ReadAt, offset: int, length: int, size: int) -> bytes:
    """A longer stretch of an image of `size` bytes. Raises `InvalidImage` if it lies outside."""
    if offset < 0 or length < 0 or offset + length > size:
        raise InvalidImage(f"the image points to {length} bytes at {offset}, behind its end")
    return b"".join(read(at, min(PIECE, offset + length - at)) for at in range(offset, offset + length, PIECE))


def read_listing(read: ReadAt, extents: Sequence[Extent], size: int, block_size: int) -> Iterator[bytes]:
    """A directory's blocks; the last may be short. Raises `InvalidImage`."""
    if sum(length for _, length in extents) > _LISTING_MAX:
        raise InvalidImage("a directory of the image is larger than lambdad writes")
    for offset, length in extents:
        listing = read_range(read, offset, length, size)
        for at in range(0, length, block_size):
            yield listing[at : at + block_size]


def merged(extents: list[Extent]) -> tuple[Extent, ...]:
    """Neighbours as one."""
    joined: list[Extent] = []
    for offset, length in extents:
        if joined and joined[-1][0] + joined[-1][1] == offset:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        elif length:
            joined.append((offset, length))
    return tuple(joined)
