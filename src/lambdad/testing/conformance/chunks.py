"""What every `ChunkStore` promises, as checks: each is a coroutine function that takes an open, empty store.

A cache may forget at any time; the checks store little, so that none that is large enough does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from lambdad.chunks.interface import ChunkMissing, ChunkName, ChunkStore, name_of

Check = Callable[[ChunkStore], Awaitable[None]]


def make_chunk(size: int = 70_000) -> tuple[ChunkName, bytes]:
    """A chunk of random bytes."""
    data = os.urandom(size)
    return name_of(data), data


async def check_put_then_get(store: ChunkStore) -> None:
    name, data = make_chunk()
    await store.put(name, data)
    assert await store.get(name) == data


async def check_missing_is_an_error_of_its_own(store: ChunkStore) -> None:
    name, _ = make_chunk()
    try:
        await store.get(name)
    except ChunkMissing as error:
        assert error.name == name
    else:
        raise AssertionError("get of an unknown chunk returned")


async def check_has_tells_both(store: ChunkStore) -> None:
    name, data = make_chunk()
    assert not await store.has(name)
    await store.put(name, data)
    assert await store.has(name)


async def check_put_twice_is_put_once(store: ChunkStore) -> None:
    name, data = make_chunk()
    await store.put(name, data)
    await store.put(name, data)
    assert await store.get(name) == data


async def check_put_replaces_what_is_damaged(store: ChunkStore) -> None:
    name, data = make_chunk()
    await store.put(name, os.urandom(len(data)))
    await store.put(name, data)
    assert await store.get(name) == data


async def check_sizes_from_one_byte(store: ChunkStore) -> None:
    for size in (1, 2, 3, 4, 5, 4095, 4096, 4097, 512 * 1024, 512 * 1024 + 1):
        name, data = make_chunk(size)
        await store.put(name, data)
        assert await store.get(name) == data


async def check_all_byte_values_and_line_ends_survive(store: ChunkStore) -> None:
    data = bytes(range(256)) * 40 + b"\r\n$5\r\n\r\n\0"
    await store.put(name_of(data), data)
    assert await store.get(name_of(data)) == data


async def check_concurrent_puts_and_gets(store: ChunkStore) -> None:
    chunks = [make_chunk(20_000) for _ in range(40)]

    async def work(name: ChunkName, data: bytes) -> None:
        await store.put(name, data)
        assert await store.get(name) == data

    async with asyncio.TaskGroup() as group:
        for name, data in chunks * 2:
            group.create_task(work(name, data))
    for name, data in chunks:
        assert await store.get(name) == data


async def check_cancelled_put_leaves_all_or_nothing(store: ChunkStore) -> None:
    for delay in range(6):
        name, data = make_chunk(300_000)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(store.put(name, data))
            for _ in range(delay):
                await asyncio.sleep(0)
            task.cancel()
        try:
            found = await store.get(name)
        except ChunkMissing:
            continue
        assert found == data


async def check_cancelled_get_harms_nobody(store: ChunkStore) -> None:
    name, data = make_chunk(300_000)
    await store.put(name, data)
    for delay in range(6):
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(store.get(name)) for _ in range(3)]
            task = group.create_task(store.get(name))
            for _ in range(delay):
                await asyncio.sleep(0)
            task.cancel()
        assert [other.result() for other in others] == [data] * 3
    assert await store.get(name) == data


async def check_close_twice(store: ChunkStore) -> None:
    await store.close()
    await store.close()


CHECKS: tuple[Check, ...] = (
    check_put_then_get,
    check_missing_is_an_error_of_its_own,
    check_has_tells_both,
    check_put_twice_is_put_once,
    check_put_replaces_what_is_damaged,
    check_sizes_from_one_byte,
    check_all_byte_values_and_line_ends_survive,
    check_concurrent_puts_and_gets,
    check_cancelled_put_leaves_all_or_nothing,
    check_cancelled_get_harms_nobody,
    check_close_twice,
)
