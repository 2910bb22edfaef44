"""A wrong chunk is never served: every tier is damaged in turn, and repaired."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lambdad.chunks.interface import ChunkInvalid, ChunkMissing, StoreFull, StoreUnavailable, name_of
from lambdad.chunks.verified import Filler, Role, Tier, Trust, VerifiedStore
from lambdad.testing.chunk_doubles import ScriptedStore

DATA = os.urandom(100_000)
NAME = name_of(DATA)


class Stack:
    def __init__(self, queue: int = 256) -> None:
        self.memory, self.disk, self.nodes, self.origin = (ScriptedStore() for _ in range(4))
        self.origin.chunks[NAME] = DATA
        self.filler = Filler(queue=queue)
        self.store = VerifiedStore(
            [
                Tier("memory", self.memory, Trust.MEMORY),
                Tier("disk", self.disk),
                Tier("nodes", self.nodes),
                Tier("origin", self.origin, role=Role.SOURCE),
            ],
            self.filler,
        )

    @property
    def tiers(self) -> list[ScriptedStore]:
        return [self.memory, self.disk, self.nodes, self.origin]


def run(test: Callable[[Stack], Coroutine[Any, Any, None]]) -> None:
    async def with_filler() -> None:
        stack = Stack()
        async with asyncio.TaskGroup() as group:
            filling = group.create_task(stack.filler.run())
            await test(stack)
            filling.cancel()

    asyncio.run(with_filler())


def test_a_miss_goes_down_and_fills_every_cache_on_the_way() -> None:
    async def test(stack: Stack) -> None:
        assert await stack.store.get(NAME) == DATA
        await stack.filler.drain()
        assert [tier.gets[NAME] for tier in stack.tiers] == [1, 1, 1, 1]
        assert [tier.chunks.get(NAME) for tier in stack.tiers] == [DATA] * 4
        assert await stack.store.get(NAME) == DATA
        assert [tier.gets[NAME] for tier in stack.tiers] == [2, 1, 1, 1]
        assert stack.store.counts["memory"].hits == 1

    run(test)


@pytest.mark.parametrize("damage", ["wrong bytes", "cut off", "empty", "another chunk", "says invalid"])
@pytest.mark.parametrize("where", ["disk", "nodes"])
def test_a_damaged_chunk_is_refetched_from_below_and_repaired(where: str, damage: str) -> None:
    async def test(stack: Stack) -> None:
        tier = {"disk": stack.disk, "nodes": stack.nodes}[where]
        bad = {"wrong bytes": b"x" * len(DATA), "cut off": DATA[:-1], "empty": b"", "another chunk": os.urandom(9)}
        tier.chunks[NAME] = bad.get(damage, DATA)
        if damage == "says invalid":

            def refuse(name: bytes) -> None:
                raise ChunkInvalid(name, where, "short")

            tier.on_get = refuse
        assert await stack.store.get(NAME) == DATA
        await stack.filler.drain()
        assert tier.chunks[NAME] == DATA
        assert tier.puts[NAME] == 1
        assert stack.store.counts[where].invalid == 1

    run(test)


def test_a_damaged_origin_is_an_error_and_never_data() -> None:
    async def test(stack: Stack) -> None:
        stack.origin.chunks[NAME] = DATA[:-1] + bytes([DATA[-1] ^ 1])
        with pytest.raises(ChunkInvalid, match="hash"):
            await stack.store.get(NAME)
        assert all(NAME not in tier.chunks for tier in stack.tiers[:3])

    run(test)


def test_a_chunk_that_is_nowhere_is_missing() -> None:
    async def test(stack: Stack) -> None:
        stack.origin.chunks.clear()
        with pytest.raises(ChunkMissing):
            await stack.store.get(NAME)

    run(test)


def test_caches_that_are_down_are_passed_by_and_not_filled() -> None:
    async def test(stack: Stack) -> None:
        stack.disk.failure = stack.nodes.failure = StoreUnavailable("down")
        assert await stack.store.get(NAME) == DATA
        await stack.filler.drain()
        assert stack.store.counts["nodes"].unavailable == 1
        assert stack.disk.puts.total() == stack.nodes.puts.total() == 0
        stack.origin.failure = StoreUnavailable("origin down")
        stack.memory.chunks.clear()
        with pytest.raises(StoreUnavailable, match="origin down"):
            await stack.store.get(NAME)

    run(test)


def test_a_full_cache_does_not_fail_the_read() -> None:
    async def test(stack: Stack) -> None:
        class Full(ScriptedStore):
            async def put(self, name: bytes, cipher_text: bytes) -> None:
                raise StoreFull("full")

        stack.store._tiers = (Tier("full", Full()), *stack.store._tiers[3:])
        stack.store.counts["full"] = stack.store.counts["disk"]
        assert await stack.store.get(NAME) == DATA
        await stack.filler.drain()

    run(test)


def test_filling_is_bounded_and_drops_what_is_too_much() -> None:
    async def test() -> None:
        stack = Stack(queue=4)
        chunks = [os.urandom(100) for _ in range(10)]
        for chunk in chunks:
            stack.filler.offer(stack.disk, name_of(chunk), chunk)
            stack.filler.offer(stack.disk, name_of(chunk), chunk)
        # Nobody works yet: four wait, each once.
        async with asyncio.TaskGroup() as group:
            filling = group.create_task(stack.filler.run())
            await stack.filler.drain()
            filling.cancel()
        assert len(stack.disk.chunks) == 4
        assert set(stack.disk.puts.values()) == {1}
        assert stack.filler.dropped == 12

    asyncio.run(test())


def test_uploads_go_to_the_last_tier_and_has_asks_it() -> None:
    async def test(stack: Stack) -> None:
        other = os.urandom(10)
        assert not await stack.store.has(name_of(other))
        await stack.store.put(name_of(other), other)
        assert stack.origin.chunks[name_of(other)] == other
        assert await stack.store.has(name_of(other))
        assert stack.disk.puts.total() == 0

    run(test)


def test_there_must_be_a_tier() -> None:
    with pytest.raises(ValueError, match="tier"):
        VerifiedStore([], Filler())
