"""Streams become chunks and a manifest: only what is lacking is sent, and nothing half-done is referred to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from lambdad.chunks.codec import Salt, decode_chunk
from lambdad.chunks.interface import StoreFull
from lambdad.chunks.manifest import FileSystem, open_manifest
from lambdad.chunks.objects import ObjectMissing
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.chunks.roots import Root, RootState, active_root, encode_root, root_path
from lambdad.chunks.upload import (
    Known,
    RootGone,
    UploadPlan,
    cut,
    fetch_manifest,
    iterate_in_thread,
    publish_manifest,
    read_pieces,
    upload_image,
)
from lambdad.model.clock import SystemClock
from lambdad.testing.chunk_doubles import MemoryObjects, ScriptedStore

KEY = bytes(range(32))
PLAN = UploadPlan(
    salt=Salt("r1"), key=KEY, key_name="k", context="c", chunk_size=8192, file_system=FileSystem.EXT4, workers=3
)
IMAGE = os.urandom(20_000) + bytes(30_000) + os.urandom(8192) * 2 + os.urandom(77)


def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    return iterate_in_thread([data[start : start + size] for start in range(0, len(data), size)])


@pytest.mark.parametrize("piece", [1000, 8192, 8193, 100_000])
def test_an_image_comes_back_from_its_chunks_whatever_the_pieces(piece: int) -> None:
    async def run() -> None:
        store = ScriptedStore()
        uploaded = await upload_image(in_pieces(IMAGE, piece), store, PLAN)
        manifest = open_manifest(uploaded.manifest, KEY, digest=uploaded.digest, key_name="k", context="c")
        assert manifest.shape.size == len(IMAGE)
        assert manifest.shape.file_system is FileSystem.EXT4
        image = bytearray(len(IMAGE))
        for row in manifest.rows():
            data = decode_chunk(store.chunks[row.name], row.key)
            image[row.position * 8192 : row.position * 8192 + len(data)] = data
        assert bytes(image) == IMAGE

    asyncio.run(run())


def test_the_same_image_is_the_same_manifest_and_is_sent_once() -> None:
    async def run() -> None:
        store = ScriptedStore()
        first = await upload_image(in_pieces(IMAGE, 5000), store, PLAN)
        again = await upload_image(in_pieces(IMAGE, 7000), store, PLAN)
        assert again.manifest == first.manifest
        assert first.counts.sent_chunks == len(store.chunks)
        assert (again.counts.sent, again.counts.known) == (0, first.counts.sent_chunks)
        assert first.counts.zero_chunks == 3
        assert set(store.puts.values()) == {1}

    asyncio.run(run())


def test_a_chunk_that_stands_twice_in_an_image_is_sent_once() -> None:
    async def run() -> None:
        block = os.urandom(8192)
        store = ScriptedStore()
        uploaded = await upload_image(in_pieces(block * 9, 8192), store, PLAN)
        assert (uploaded.counts.chunks, uploaded.counts.repeated, uploaded.counts.sent_chunks) == (9, 8, 1)

    asyncio.run(run())


def test_who_may_not_be_timed_sends_everything() -> None:
    """What the store had already must not show: neither in bytes nor in questions."""

    async def run() -> None:
        store = ScriptedStore()
        plan = replace(PLAN, known=Known.SEND_ANYWAY)
        first = await upload_image(in_pieces(IMAGE, 8192), store, plan)
        again = await upload_image(in_pieces(IMAGE, 8192), store, plan)
        assert again.counts == first.counts

    asyncio.run(run())


def test_tenants_with_a_private_salt_share_nothing() -> None:
    async def run() -> None:
        store = ScriptedStore()
        await upload_image(in_pieces(IMAGE, 8192), store, PLAN)
        private = replace(PLAN, salt=Salt("r1", tenant=bytes(32)))
        uploaded = await upload_image(in_pieces(IMAGE, 8192), store, private)
        assert uploaded.counts.known == 0

    asyncio.run(run())


def test_a_full_store_stops_the_upload_with_its_own_error() -> None:
    store = ScriptedStore()
    store.failure = StoreFull("no room")
    with pytest.raises(StoreFull, match="no room"):
        asyncio.run(upload_image(in_pieces(IMAGE, 8192), store, replace(PLAN, known=Known.SEND_ANYWAY)))


def test_a_stream_that_breaks_stops_the_upload_with_its_own_error() -> None:
    def pieces() -> Iterator[bytes]:
        yield IMAGE
        raise ConnectionResetError("the registry went away")

    with pytest.raises(ConnectionResetError, match="registry"):
        asyncio.run(upload_image(iterate_in_thread(pieces()), ScriptedStore(), PLAN))


def test_memory_stays_in_proportion_to_the_workers() -> None:
    async def run() -> None:
        made = [0]
        store = ScriptedStore()

        def pieces() -> Iterator[bytes]:
            for number in range(200):
                made[0] += 1
                assert made[0] - len(store.chunks) <= 3 * PLAN.workers + 2
                yield number.to_bytes(4, "big") * 2048

        await upload_image(iterate_in_thread(pieces()), store, PLAN)
        assert len(store.chunks) == 199  # the first is zeros

    asyncio.run(run())


def test_progress_is_told() -> None:
    seen: list[int] = []
    asyncio.run(upload_image(in_pieces(IMAGE, 8192), ScriptedStore(), PLAN, lambda counts: seen.append(counts.chunks)))
    assert len(seen) == -(-len(IMAGE) // 8192)
    assert seen == sorted(seen)


def test_a_manifest_is_published_fetched_and_refused_once_its_root_is_given_up() -> None:
    async def run() -> None:
        origin = Origin(MemoryObjects(), SystemClock())
        root = await active_root(origin.objects, 5.0)
        uploaded = await upload_image(in_pieces(IMAGE, 8192), OriginStore(origin, root.id), PLAN)
        await publish_manifest(origin, root.id, uploaded)
        assert await fetch_manifest(origin, ["other", root.id], uploaded.digest) == uploaded.manifest
        with pytest.raises(ObjectMissing):
            await fetch_manifest(origin, ["other"], uploaded.digest)
        for state in RootState:
            await origin.put(root_path(root.id), encode_root(Root(root.id, state, 6.0)))
            if state in (RootState.ACTIVE, RootState.RETIRED):
                await publish_manifest(origin, root.id, uploaded)
            else:
                with pytest.raises(RootGone):
                    await publish_manifest(origin, root.id, uploaded)
        with pytest.raises(RootGone):
            await publish_manifest(origin, "never-was", uploaded)

    asyncio.run(run())


def test_pieces_are_cut_to_size() -> None:
    async def run() -> None:
        pieces = [piece async for piece in cut(in_pieces(IMAGE, 333), 1000)]
        assert b"".join(pieces) == IMAGE
        assert {len(piece) for piece in pieces[:-1]} == {1000}
        assert [piece async for piece in cut(in_pieces(b"", 1), 1000)] == []

    asyncio.run(run())


def test_a_file_is_read_in_pieces() -> None:
    left = [b"a", b"b", b""]
    assert list(read_pieces(lambda size: left.pop(0))) == [b"a", b"b"]
