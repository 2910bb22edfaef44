"""Reading ahead: the next chunks, each once, never in the way of a read."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.block.interface import BlockError
from lambdad.block.readahead import AheadPolicy, ReadAhead
from lambdad.chunks.interface import StoreUnavailable
from lambdad.testing.block_doubles import make_reader
from lambdad.testing.chunk_doubles import ScriptedStore


def test_what_stands_behind_a_read_is_asked_for_once() -> None:
    policy = AheadPolicy(100, ahead=2)
    assert policy.read(5)
    assert not policy.read(5)
    assert sorted(policy.take()) == [6, 7]
    assert policy.read(6)
    assert policy.take() == [8]
    assert policy.read(99)
    assert policy.take() == []


def test_the_number_under_way_is_bounded_and_the_latest_goes_first() -> None:
    policy = AheadPolicy(1000, ahead=2, at_once=3)
    for position in (10, 20, 30):
        policy.read(position)
    assert policy.take() == [32, 31, 22]
    assert policy.take() == []
    policy.fetched()
    assert policy.take() == [21]


def test_what_was_read_meanwhile_is_not_fetched_again() -> None:
    policy = AheadPolicy(100, ahead=1, at_once=1)
    policy.read(1)
    policy.read(2)
    assert policy.take() == [3]


def test_what_waits_is_bounded() -> None:
    policy = AheadPolicy(100_000, ahead=2, at_once=1)
    for position in range(0, 100_000, 10):
        policy.read(position)
    taken = 0
    while policy.take():
        policy.fetched()
        taken += 1
    assert taken == 64


def test_a_reader_finds_the_next_chunks_there() -> None:
    async def run() -> None:
        store = ScriptedStore()
        content = os.urandom(4096 * 20)
        reader = await make_reader(content, store)
        async with asyncio.TaskGroup() as group:
            ahead = group.create_task(ReadAhead(reader, AheadPolicy(20, ahead=2)).run())
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
            ahead = group.create_task(ReadAhead(reader, AheadPolicy(20, ahead=2)).run())
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
