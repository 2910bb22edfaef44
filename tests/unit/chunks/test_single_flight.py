"""One fetch for all, and nobody suffers for another."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.chunks.interface import ChunkMissing, StoreUnavailable, name_of
from lambdad.chunks.single_flight import SingleFlightStore
from lambdad.testing.chunk_doubles import ScriptedStore

DATA = b"chunk"
NAME = name_of(DATA)


def make() -> tuple[ScriptedStore, SingleFlightStore]:
    inner = ScriptedStore()
    inner.chunks[NAME] = DATA
    inner.gate = asyncio.Event()
    return inner, SingleFlightStore(inner)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_hundred_concurrent_readers_are_one_fetch() -> None:
    async def run() -> None:
        inner, store = make()
        assert inner.gate is not None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store.get(NAME)) for _ in range(100)]
            await turns()
            inner.gate.set()
        assert {task.result() for task in tasks} == {DATA}
        assert inner.gets[NAME] == 1
        await store.get(NAME)
        assert inner.gets[NAME] == 2

    asyncio.run(run())


def test_when_the_leader_is_cancelled_a_waiter_takes_over() -> None:
    async def run() -> None:
        inner, store = make()
        assert inner.gate is not None
        async with asyncio.TaskGroup() as group:
            leader = group.create_task(store.get(NAME))
            await turns()
            waiters = [group.create_task(store.get(NAME)) for _ in range(10)]
            await turns()
            leader.cancel()
            await turns()
            inner.gate.set()
        assert [waiter.result() for waiter in waiters] == [DATA] * 10
        assert inner.gets[NAME] == 2

    asyncio.run(run())


def test_a_cancelled_waiter_takes_nobody_with_it() -> None:
    async def run() -> None:
        inner, store = make()
        assert inner.gate is not None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store.get(NAME)) for _ in range(4)]
            await turns()
            tasks[2].cancel()
            await turns()
            inner.gate.set()
        assert [task.cancelled() for task in tasks] == [False, False, True, False]
        assert inner.gets[NAME] == 1

    asyncio.run(run())


def test_when_the_leader_fails_a_waiter_tries_once_more_and_then_all_hear_of_it() -> None:
    async def run() -> None:
        inner, store = make()
        assert inner.gate is not None
        inner.failure = StoreUnavailable("503")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(store)) for _ in range(50)]
            await turns()
            inner.gate.set()
        assert all(isinstance(task.result(), StoreUnavailable) for task in tasks)
        assert inner.gets[NAME] == 2

    asyncio.run(run())


def test_a_second_chance_is_enough_when_the_failure_has_passed() -> None:
    async def run() -> None:
        inner, store = make()
        assert inner.gate is not None
        left = [1]

        def fail_once(name: bytes) -> None:
            if left[0]:
                left[0] -= 1
                raise StoreUnavailable("503")

        inner.on_get = fail_once
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(store)) for _ in range(50)]
            await turns()
            inner.gate.set()
        results = [task.result() for task in tasks]
        assert isinstance(results[0], StoreUnavailable)
        assert results[1:] == [DATA] * 49

    asyncio.run(run())


def test_missing_is_final_for_all_who_wait() -> None:
    async def run() -> None:
        inner, store = make()
        assert inner.gate is not None
        inner.chunks.clear()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(store)) for _ in range(50)]
            await turns()
            inner.gate.set()
        assert all(isinstance(task.result(), ChunkMissing) for task in tasks)
        assert inner.gets[NAME] == 1

    asyncio.run(run())


async def _outcome(store: SingleFlightStore) -> bytes | Exception:
    try:
        return await store.get(NAME)
    except (StoreUnavailable, ChunkMissing) as error:
        return error


def test_a_bug_in_the_leader_is_the_leaders_alone() -> None:
    async def run() -> None:
        inner, store = make()
        assert inner.gate is not None
        left = [1]

        def bug(name: bytes) -> None:
            if left[0]:
                left[0] -= 1
                raise ZeroDivisionError

        inner.on_get = bug

        async def lead() -> None:
            with pytest.raises(ZeroDivisionError):
                await store.get(NAME)

        async with asyncio.TaskGroup() as group:
            group.create_task(lead())
            await turns()
            waiter = group.create_task(store.get(NAME))
            await turns()
            inner.gate.set()
        assert waiter.result() == DATA

    asyncio.run(run())
