"""Plaintext is shared, bounded, and not given to those without the key."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from lambdad.block.plain_cache import PlainCache
from lambdad.chunks.interface import ChunkInvalid
from lambdad.testing.block_doubles import make_manifest
from lambdad.testing.chunk_doubles import ScriptedStore, StepClock

CONTENT = os.urandom(200_000)


def test_a_hundred_readers_are_one_fetch_and_one_decryption() -> None:
    async def run() -> None:
        store = ScriptedStore()
        manifest = await make_manifest(CONTENT, store, 131_072)
        row = manifest.row(0)
        assert row is not None
        cache = PlainCache(store, 10**6, StepClock())
        assert cache.peek(row) is None
        results = await asyncio.gather(*(cache.get(row) for _ in range(100)))
        assert all(result is results[0] for result in results)
        assert results[0] == CONTENT[:131_072]
        assert store.gets[row.name] == 1
        assert cache.peek(row) is results[0]

    asyncio.run(run())


def test_a_name_with_another_key_does_not_find_the_plaintext() -> None:
    async def run() -> None:
        store = ScriptedStore()
        row = (await make_manifest(CONTENT, store, 131_072)).row(0)
        assert row is not None
        cache = PlainCache(store, 10**6, StepClock())
        await cache.get(row)
        stolen = replace(row, key=bytes(32))
        assert cache.peek(stolen) is None
        assert await cache.get(stolen) != CONTENT[:131_072]

    asyncio.run(run())


def test_memory_is_bounded() -> None:
    async def run() -> None:
        store = ScriptedStore()
        manifest = await make_manifest(CONTENT, store)
        cache = PlainCache(store, 20_000, StepClock())
        for row in manifest.rows():
            await cache.get(row)
        assert sum(row.length for row in manifest.rows() if cache.peek(row) is not None) <= 20_000
        assert sum(cache.peek(row) is not None for row in manifest.rows()) >= 4

    asyncio.run(run())


def test_a_chunk_of_another_length_than_the_manifest_says_is_invalid() -> None:
    async def run() -> None:
        store = ScriptedStore()
        row = (await make_manifest(CONTENT, store)).row(0)
        assert row is not None
        with pytest.raises(ChunkInvalid, match="4096 bytes instead of 100"):
            await PlainCache(store, 20_000, StepClock()).get(replace(row, length=100))

    asyncio.run(run())
