"""Fetching ahead on a reader: each chunk once, reads first, failures told to nobody but counted."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.block.fetcher import Fetcher
from lambdad.block.interface import BlockError
from lambdad.block.prefetch import PrefetchPolicy
from lambdad.block.readahead import AheadPolicy
from lambdad.chunks.interface import StoreUnavailable
from lambdad.testing.block_doubles import make_reader
from lambdad.testing.chunk_doubles import ScriptedStore


def test_a_recorded_start_is_fetched_before_it_is_read() -> None:
    async def run() -> None:
        store = ScriptedStore()
        reader = await make_reader(os.urandom(4096 * 100), store)
        fetcher = Fetcher(reader, PrefetchPolicy(range(0, 100, 2), at_once=8))
        await fetcher.run()
        assert store.gets.total() == 50
        assert all(reader.has_loaded(position) for position in range(0, 100, 2))
        assert fetcher.failed == 0

    asyncio.run(run())


def test_reads_go_first_and_share_the_fetch() -> None:
    async def run() -> None:
        store = ScriptedStore()
        content = os.urandom(4096 * 100)
        reader = await make_reader(content, store)
        store.gate = asyncio.Event()
        fetcher = Fetcher(reader, PrefetchPolicy(range(100), at_once=4))
        async with asyncio.TaskGroup() as group:
            group.create_task(fetcher.run())
            for _ in range(5):
                await asyncio.sleep(0)
            assert store.gets.total() == 4
            reading = [group.create_task(reader.read(position * 4096, 4096)) for position in (0, 90, 91)]
            for _ in range(5):
                await asyncio.sleep(0)
            assert store.gets.total() == 6  # 0 is under way already; 90 and 91 did not wait for a place
            store.gate.set()
        assert [task.result() for task in reading] == [content[p * 4096 : (p + 1) * 4096] for p in (0, 90, 91)]
        assert set(store.gets.values()) == {1}

    asyncio.run(run())


def test_failures_are_counted_and_stop_nothing() -> None:
    async def run() -> None:
        store = ScriptedStore()
        reader = await make_reader(os.urandom(4096 * 10), store)
        store.failure = StoreUnavailable("down")
        fetcher = Fetcher(reader, PrefetchPolicy(range(10)))
        await fetcher.run()
        assert fetcher.failed == 10

    asyncio.run(run())


def test_a_reader_finds_the_next_chunks_there() -> None:
    async def run() -> None:
        store = ScriptedStore()
        content = os.urandom(4096 * 20)
        reader = await make_reader(content, store)
        async with asyncio.TaskGroup() as group:
            ahead = group.create_task(Fetcher(reader, AheadPolicy(20, ahead=2)).run())
            await asyncio.sleep(0)
            assert await reader.read(4096 * 3, 100) == content[4096 * 3 : 4096 * 3 + 100]
            while not (reader.has_loaded(4) and reader.has_loaded(5)):  # each turn of the loop brings it nearer
                await asyncio.sleep(0)
            ahead.cancel()
        assert store.gets.total() == 3
        assert not reader.has_loaded(6)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_chunk_that_cannot_be_had_ahead_stops_nothing() -> None:
    async def run() -> None:
        store = ScriptedStore()
        content = os.urandom(4096 * 20)
        reader = await make_reader(content, store)
        async with asyncio.TaskGroup() as group:
            ahead = group.create_task(Fetcher(reader, AheadPolicy(20, ahead=2)).run())
            await asyncio.sleep(0)
            store.failure = StoreUnavailable("away")
            with pytest.raises(BlockError):
                await reader.read(0, 100)
            while store.gets.total() < 3:
                await asyncio.sleep(0)
            store.failure = None
            assert await reader.read(0, 100) == content[:100]
            assert await reader.read(4096, 100) == content[4096:4196]
            assert not ahead.done()
            ahead.cancel()

    asyncio.run(asyncio.wait_for(run(), 30))
