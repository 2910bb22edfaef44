"""Prefetch: at most so many at once, in order, and never before a reader."""

from __future__ import annotations

import asyncio
import os

from lambdad.block.prefetch import Prefetcher, PrefetchPolicy
from lambdad.chunks.interface import StoreUnavailable
from lambdad.testing.block_doubles import make_reader
from lambdad.testing.chunk_doubles import ScriptedStore


def test_the_order_is_kept_and_the_number_bounded() -> None:
    policy = PrefetchPolicy([5, 3, 5, 9, 1, 7], at_once=2)
    assert policy.take() == [5, 3]
    assert policy.take() == []
    policy.fetched(3)
    assert policy.take() == [9]
    policy.fetched(5)
    policy.fetched(9)
    assert policy.take() == [1, 7]
    assert not policy.is_finished
    policy.fetched(1)
    policy.fetched(7)
    assert policy.is_finished


def test_every_chunk_that_a_reader_waits_for_takes_a_place() -> None:
    policy = PrefetchPolicy(range(10), at_once=3)
    for position in (100, 101, 102):
        policy.wanted(position)
    assert policy.take() == []
    policy.served(101)
    assert policy.take() == [0]
    policy.wanted(0)  # a reader joins the fetch under way: no place more
    policy.served(100)
    policy.served(102)
    assert policy.take() == [1, 2]


def test_what_a_reader_fetches_already_is_skipped() -> None:
    policy = PrefetchPolicy([4, 5], at_once=2)
    policy.wanted(4)
    policy.wanted(4)
    assert policy.take() == [5]
    policy.served(4)
    policy.served(4)
    policy.served(4)
    policy.fetched(5)
    assert policy.is_finished


def test_a_recorded_start_is_fetched_before_it_is_read() -> None:
    async def run() -> None:
        store = ScriptedStore()
        reader = await make_reader(os.urandom(4096 * 100), store)
        prefetcher = Prefetcher(reader, PrefetchPolicy(range(0, 100, 2), at_once=8))
        await prefetcher.run()
        assert store.gets.total() == 50
        assert all(reader.has_loaded(position) for position in range(0, 100, 2))
        assert prefetcher.failed == 0

    asyncio.run(run())


def test_reads_go_first_and_share_the_fetch() -> None:
    async def run() -> None:
        store = ScriptedStore()
        content = os.urandom(4096 * 100)
        reader = await make_reader(content, store)
        store.gate = asyncio.Event()
        prefetcher = Prefetcher(reader, PrefetchPolicy(range(100), at_once=4))
        async with asyncio.TaskGroup() as group:
            group.create_task(prefetcher.run())
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
        prefetcher = Prefetcher(reader, PrefetchPolicy(range(10)))
        await prefetcher.run()
        assert prefetcher.failed == 10

    asyncio.run(run())
