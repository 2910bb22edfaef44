"""The doubles keep the contracts that they stand for."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.chunks.interface import StoreUnavailable
from lambdad.testing.chunk_doubles import MemoryObjects, ScriptedStore, StepClock
from lambdad.testing.conformance.chunks import CHECKS, Check, make_chunk


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_scripted_store_keeps_the_contract(check: Check) -> None:
    asyncio.run(_run(check))


async def _run(check: Check) -> None:
    await check(ScriptedStore())


def test_the_scripted_store_fails_as_told() -> None:
    store = ScriptedStore()
    store.failure = StoreUnavailable("down")
    name, data = make_chunk()
    for operation in (store.get(name), store.has(name), store.put(name, data)):
        with pytest.raises(StoreUnavailable):
            asyncio.run(_await(operation))


async def _await(operation: object) -> object:
    return await operation  # type: ignore[misc]


def test_objects_in_memory_count_and_may_crash() -> None:
    async def run() -> None:
        heard: list[tuple[str, str]] = []
        objects = MemoryObjects(lambda operation, path: heard.append((operation, path)))
        assert await objects.create("a/b", b"1")
        assert not await objects.create("a/b", b"2")
        assert await objects.get("a/b") == b"1"
        assert [path async for path in objects.list("a")] == ["a/b"]
        assert heard == [("create", "a/b"), ("create", "a/b"), ("get", "a/b"), ("list", "a")]
        assert objects.gets["a/b"] == 1

    asyncio.run(run())


def test_the_clock_moves_when_told() -> None:
    clock = StepClock(5.0)
    clock.advance(2)
    assert clock.time() == clock.monotonic() == 7.0
