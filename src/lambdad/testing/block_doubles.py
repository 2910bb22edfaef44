"""Doubles of block sources, and images in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from lambdad.block.interface import BlockError, Extent, check_range
from lambdad.block.plain_cache import PlainCache
from lambdad.block.reader import ImageReader
from lambdad.chunks.codec import Salt
from lambdad.chunks.interface import ChunkStore
from lambdad.chunks.manifest import Manifest, open_manifest
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, upload_image
from lambdad.model.clock import SystemClock
from lambdad.testing.chunk_doubles import ScriptedStore

KEY = bytes(range(32))


class BytesSource:
    """A source over bytes. `gate`: if set, `read` waits for it. `failure`: if set, `read` raises it."""

    def __init__(self, content: bytes, *, is_in_memory: bool = True) -> None:
        self.content = content
        self.is_in_memory = is_in_memory
        self.gate: asyncio.Event | None = None
        self.failure: BlockError | None = None
        self.reads = 0
        self.is_closed = False

    @property
    def size(self) -> int:
        return len(self.content)

    async def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self.content[offset : offset + length]

    def peek(self, offset: int, length: int) -> Sequence[memoryview] | None:
        check_range(self.size, offset, length)
        return [memoryview(self.content)[offset : offset + length]] if self.is_in_memory else None

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        check_range(self.size, offset, length)
        if length:
            yield Extent(length, is_zero=False)

    async def close(self) -> None:
        self.is_closed = True


async def make_manifest(content: bytes, store: ChunkStore, chunk_size: int = 4096) -> Manifest:
    """Chunks of `content` in the store, and their manifest."""
    plan = UploadPlan(salt=Salt("r1"), key=KEY, key_name="k", context="c", chunk_size=chunk_size)
    uploaded = await upload_image(iterate_in_thread([content] if content else []), store, plan)
    return open_manifest(uploaded.manifest, KEY)


async def make_reader(
    content: bytes, store: ScriptedStore | None = None, *, chunk_size: int = 4096, memory: int = 2**30
) -> ImageReader:
    """A reader of `content` that went through chunks."""
    store = store or ScriptedStore()
    manifest = await make_manifest(content, store, chunk_size)
    return ImageReader(manifest, PlainCache(store, memory, SystemClock()))
