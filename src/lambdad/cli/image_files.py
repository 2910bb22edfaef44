"""Which files are in which chunks of an image. The walk reads the image's metadata, chunk by chunk as it needs them."""

from __future__ import annotations

import asyncio
import os.path
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import assert_never

from lambdad.block.interface import BlockSource
from lambdad.chunks.manifest import FileSystem
from lambdad.cli.errors import CliError
from lambdad.image.erofs.reader import walk_erofs
from lambdad.image.ext4.reader import walk_ext4
from lambdad.image.limits import Limits
from lambdad.image.places import Extent, Kind, Place, ReadAt

_CHUNKS_KEPT = 64
_METADATA = "metadata"


@dataclass(slots=True)
class Contents:
    """What one chunk holds. files: path and bytes of it in the chunk, in the order of the walk.

    directories: those with entries listed here. inodes: records of files, in the chunk or partly.
    """

    files: list[tuple[str, int]] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    inodes: int = 0

    @property
    def label(self) -> str:
        """One line: the file that fills most of the chunk, or where its many small ones are."""
        if self.files:
            largest, most = max(self.files, key=lambda item: item[1])
            if 2 * most >= sum(size for _, size in self.files):
                more = len(self.files) - 1
                return largest + (f" and {more} more" if more else "")
            return f"{os.path.commonpath([path for path, _ in self.files]).rstrip('/')}/ ({len(self.files)} files)"
        if self.directories:
            return f"entries of {self.directories[0]}" + (
                f" and {len(self.directories) - 1} more directories" if len(self.directories) > 1 else ""
            )
        return f"inodes of {self.inodes} files" if self.inodes else _METADATA


def contents_of(places: Iterable[Place], chunk_size: int, wanted: Collection[int]) -> dict[int, Contents]:
    """By position, for the wanted positions only: an image may have a million files. Pure."""
    found = {position: Contents() for position in wanted}
    for place in places:
        path = "/" + place.path.decode("utf-8", "backslashreplace")
        for position, _ in _parts(place.inode, chunk_size):
            if position in found:
                found[position].inodes += 1
        for extent in place.extents:
            for position, size in _parts(extent, chunk_size):
                if position not in found:
                    continue
                match place.kind:
                    case Kind.DIRECTORY:
                        found[position].directories.append(path)
                    case Kind.FILE | Kind.OTHER:
                        _add(found[position].files, path, size)
                    case _:
                        assert_never(place.kind)
    return found


async def read_contents(
    source: BlockSource, chunk_size: int, file_system: FileSystem, wanted: Collection[int]
) -> dict[int, Contents]:
    """The same of an image. Raises `CliError` for another kind of file system, `InvalidImage`, `BlockError`."""
    walk: Callable[[ReadAt, int, Limits], Iterator[Place]]
    match file_system:
        case FileSystem.EROFS:
            walk = walk_erofs
        case FileSystem.EXT4:
            walk = walk_ext4
        case FileSystem.UNKNOWN:
            raise CliError("the image does not say which file system it has: its files are not known")
        case _:
            assert_never(file_system)
    loop = asyncio.get_running_loop()

    @lru_cache(_CHUNKS_KEPT)
    def chunk(position: int) -> bytes:
        start = position * chunk_size
        length = min(chunk_size, source.size - start)
        return asyncio.run_coroutine_threadsafe(source.read(start, length), loop).result()

    def read(offset: int, length: int) -> bytes:
        pieces = []
        while length:
            position, start = divmod(offset, chunk_size)
            piece = chunk(position)[start : start + length]
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return await asyncio.to_thread(lambda: contents_of(walk(read, source.size, Limits()), chunk_size, wanted))


def _parts(extent: Extent, chunk_size: int) -> Iterator[tuple[int, int]]:
    """Positions that an extent touches, and its bytes in each."""
    offset, length = extent
    while length > 0:
        position, start = divmod(offset, chunk_size)
        size = min(chunk_size - start, length)
        yield position, size
        offset += size
        length -= size


def _add(files: list[tuple[str, int]], path: str, size: int) -> None:
    """One line for each file, also if it has several extents in a chunk."""
    if files and files[-1][0] == path:
        size += files.pop()[1]
    files.append((path, size))
