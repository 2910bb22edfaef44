"""Images as disks; what every source promises is in the conformance suite."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.block.interface import BlockError, Extent
from lambdad.chunks.interface import StoreUnavailable
from lambdad.testing.block_doubles import make_reader
from lambdad.testing.chunk_doubles import ScriptedStore

DATA = os.urandom(4096)


class Watcher:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def on_read(self, position: int) -> None:
        self.heard.append(("read", position))

    def on_miss(self, position: int) -> None:
        self.heard.append(("miss", position))

    def on_loaded(self, position: int) -> None:
        self.heard.append(("loaded", position))


def test_holes_read_as_zeros_and_fetch_nothing() -> None:
    async def run() -> None:
        store = ScriptedStore()
        reader = await make_reader(DATA + bytes(40_960) + DATA, store)
        assert await reader.read(4096, 40_960) == bytes(40_960)
        assert b"".join(reader.peek(5000, 100) or ()) == bytes(100)
        assert store.gets.total() == 0

    asyncio.run(run())


def test_a_read_that_ends_on_a_chunk_boundary_fetches_no_chunk_more() -> None:
    async def run() -> None:
        store = ScriptedStore()
        reader = await make_reader(os.urandom(4096 * 4), store)
        await reader.read(4096, 4096)
        assert store.gets.total() == 1
        await reader.read(0, 8192)
        assert store.gets.total() == 2

    asyncio.run(run())


def test_one_big_read_fetches_several_chunks_at_once() -> None:
    async def run() -> None:
        store = ScriptedStore()
        content = os.urandom(4096 * 20)
        reader = await make_reader(content, store)
        store.gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(reader.read(0, len(content)))
            for _ in range(10):
                await asyncio.sleep(0)
            assert store.gets.total() == 8
            store.gate.set()
        assert task.result() == content

    asyncio.run(run())


def test_extents_merge_neighbours_and_know_trimmed_tails() -> None:
    async def run() -> None:
        reader = await make_reader(DATA + bytes(8192) + DATA + DATA + bytes(100), chunk_size=8192)
        expected = [Extent(4096, False), Extent(4096, True), Extent(12_288, False), Extent(100, True)]
        assert list(reader.extents(0, reader.size)) == expected
        assert list(reader.extents(1000, 4000)) == [Extent(3096, False), Extent(904, True)]
        assert list(reader.extents(0, 0)) == []

    asyncio.run(run())


def test_observers_hear_reads_and_waits() -> None:
    async def run() -> None:
        reader = await make_reader(DATA + bytes(4096) + os.urandom(4096))
        watcher = Watcher()
        reader.observe(watcher)
        await reader.read(0, 8192)
        assert watcher.heard == [("miss", 0), ("loaded", 0), ("read", 0)]
        watcher.heard.clear()
        reader.peek(0, 10)
        assert watcher.heard == [("read", 0)]
        reader.unobserve(watcher)
        await reader.read(8192, 10)
        assert watcher.heard == [("read", 0)]

    asyncio.run(run())


def test_a_store_that_fails_is_a_block_error_and_the_next_read_tries_again() -> None:
    async def run() -> None:
        store = ScriptedStore()
        content = os.urandom(4096 * 3)
        reader = await make_reader(content, store)
        watcher = Watcher()
        reader.observe(watcher)
        store.failure = StoreUnavailable("origin down")
        for length in (10, len(content)):
            with pytest.raises(BlockError, match="origin down"):
                await reader.read(0, length)
        misses = [position for kind, position in watcher.heard if kind == "miss"]
        loaded = [position for kind, position in watcher.heard if kind == "loaded"]
        assert sorted(misses) == sorted(loaded)
        store.failure = None
        assert await reader.read(0, len(content)) == content

    asyncio.run(run())


def test_loading_brings_a_chunk_into_memory_without_a_reader() -> None:
    async def run() -> None:
        reader = await make_reader(DATA + bytes(4096))
        assert [reader.has_loaded(position) for position in (0, 1)] == [False, True]
        await reader.load(0)
        await reader.load(1)
        assert reader.has_loaded(0)
        assert reader.peek(0, 8192) is not None

    asyncio.run(run())
