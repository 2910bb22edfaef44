"""The memory tier evicts by LRU-K and never holds more than it may."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.chunks.interface import ChunkMissing, name_of
from lambdad.chunks.memory import MemoryStore
from lambdad.testing.chunk_doubles import StepClock


def test_it_holds_at_most_its_capacity_and_forgets_what_was_used_once() -> None:
    async def run() -> None:
        clock = StepClock()
        store = MemoryStore(30_000, clock)
        chunks = [os.urandom(10_000) for _ in range(10)]
        hot = chunks[0]
        for chunk in chunks:
            clock.advance(10)
            await store.put(name_of(chunk), chunk)
            clock.advance(10)
            assert await store.get(name_of(hot)) == hot
        assert sum([await store.has(name_of(chunk)) for chunk in chunks]) == 3
        with pytest.raises(ChunkMissing):
            await store.get(name_of(chunks[3]))

    asyncio.run(run())


def test_a_chunk_larger_than_everything_is_forgotten_at_once() -> None:
    async def run() -> None:
        store = MemoryStore(10, StepClock())
        await store.put(name_of(b"x" * 11), b"x" * 11)
        assert not await store.has(name_of(b"x" * 11))

    asyncio.run(run())
