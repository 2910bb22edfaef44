"""An image as a disk: manifest + chunks → bytes. A `BlockSource`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

from lambdad.block.interface import BlockError, Extent, check_range
from lambdad.block.plain_cache import PlainCache
from lambdad.chunks.codec import CHUNK_SIZE_MAX
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.manifest import Manifest, Row

_ZEROS = memoryview(bytes(CHUNK_SIZE_MAX))
_AT_ONCE = 8
"""Chunks that one big read fetches at the same time."""


class ReadObserver(Protocol):
    """Hears of reads: the recorder of traces and the prefetcher. Called on every read: must be quick."""

    def on_read(self, position: int) -> None:
        """A reader wants bytes of a stored chunk."""
        ...

    def on_miss(self, position: int) -> None:
        """The chunk is not in memory; the reader waits."""
        ...

    def on_loaded(self, position: int) -> None:
        """The reader waits no more, whether it got the chunk or not."""
        ...


class ImageReader:
    """Reads an opened manifest through the shared cache of plaintext."""

    def __init__(self, manifest: Manifest, cache: PlainCache, observers: Sequence[ReadObserver] = ()) -> None:
        self.manifest = manifest
        self._cache = cache
        self._observers = list(observers)
        self._chunk_size = manifest.shape.chunk_size

    @property
    def size(self) -> int:
        return self.manifest.shape.size

    def observe(self, observer: ReadObserver) -> None:
        self._observers.append(observer)

    def unobserve(self, observer: ReadObserver) -> None:
        self._observers.remove(observer)

    async def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        parts = list(self._parts(offset, length))
        pieces: list[memoryview] = []
        for index in range(0, len(parts), _AT_ONCE):
            window = parts[index : index + _AT_ONCE]
            missing = {row.position: row for row, _, _ in window if row is not None and self._cache.peek(row) is None}
            chunks = await self._load_all(list(missing.values()))
            for row, start, count in window:
                self._note(row)
                data = b"" if row is None else chunks.get(row.position)
                if data is None:
                    assert row is not None
                    data = await self._load(row)
                pieces += _slice(data, start, count)
        return b"".join(pieces)

    def peek(self, offset: int, length: int) -> Sequence[memoryview] | None:
        check_range(self.size, offset, length)
        pieces: list[memoryview] = []
        rows = []
        for row, start, count in self._parts(offset, length):
            data = b"" if row is None else self._cache.peek(row)
            if data is None:
                return None
            rows.append(row)
            pieces += _slice(data, start, count)
        for row in rows:
            self._note(row)
        return pieces

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        check_range(self.size, offset, length)
        pending: Extent | None = None
        for row, start, count in self._parts(offset, length):
            stored = 0 if row is None else max(0, min(count, row.length - start))
            for part in (Extent(stored, is_zero=False), Extent(count - stored, is_zero=True)):
                if part.length == 0:
                    continue
                if pending is not None and pending.is_zero == part.is_zero:
                    pending = Extent(pending.length + part.length, part.is_zero)
                    continue
                if pending is not None:
                    yield pending
                pending = part
        if pending is not None:
            yield pending

    async def load(self, position: int) -> None:
        """Bring a chunk into memory without anybody reading it. Raises `BlockError`."""
        row = self.manifest.row(position)
        if row is not None:
            await self._get(row)

    def has_loaded(self, position: int) -> bool:
        """Whether reading the position would not wait."""
        row = self.manifest.row(position)
        return row is None or self._cache.peek(row) is not None

    async def close(self) -> None:
        self._observers.clear()

    def _parts(self, offset: int, length: int) -> Iterator[tuple[Row | None, int, int]]:
        """The range by chunk: row, start inside the chunk, bytes."""
        end = offset + length
        while offset < end:
            position, start = divmod(offset, self._chunk_size)
            count = min(self._chunk_size - start, end - offset)
            yield self.manifest.row(position), start, count
            offset += count

    async def _load_all(self, rows: list[Row]) -> dict[int, bytes]:
        if len(rows) < 2:
            return {row.position: await self._load(row) for row in rows}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {row.position: group.create_task(self._load(row)) for row in rows}
        except ExceptionGroup as failures:
            errors = failures.subgroup(BlockError)
            if errors is None:
                raise
            raise BlockError(str(errors.exceptions[0])) from failures
        return {position: task.result() for position, task in tasks.items()}

    async def _load(self, row: Row) -> bytes:
        data = self._cache.peek(row)
        if data is not None:
            return data
        for observer in self._observers:
            observer.on_miss(row.position)
        try:
            return await self._get(row)
        finally:
            for observer in self._observers:
                observer.on_loaded(row.position)

    async def _get(self, row: Row) -> bytes:
        try:
            return await self._cache.get(row)
        except ChunkError as error:
            raise BlockError(f"position {row.position} of image {self.manifest.index.digest}: {error}") from error

    def _note(self, row: Row | None) -> None:
        if row is not None:
            for observer in self._observers:
                observer.on_read(row.position)


def _slice(data: bytes, start: int, count: int) -> list[memoryview]:
    """`count` bytes from `start` of a chunk whose stored part is `data`, zeros after it."""
    piece = memoryview(data)[start : start + count]
    rest = count - len(piece)
    if rest == 0:
        return [piece]
    return [piece, _ZEROS[:rest]] if piece else [_ZEROS[:rest]]
