"""The tiers put together: cold, warm, restarted, damaged; a hundred readers; traces."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lambdad.block.interface import BlockError
from lambdad.block.messages import Configure
from lambdad.block.read_path import ReadPath, open_objects, open_read_path
from lambdad.block.trace import TraceEntry
from lambdad.chunks.codec import Salt
from lambdad.chunks.objects import DirectoryObjects, S3Objects
from lambdad.chunks.origin import Origin, OriginLimits, OriginStore
from lambdad.chunks.roots import active_root
from lambdad.chunks.upload import Uploaded, UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.model.clock import SystemClock
from lambdad.testing.block_doubles import KEY
from lambdad.testing.chunk_doubles import MemoryObjects

CONTENT = os.urandom(4096 * 50) + bytes(8192) + b"end"
CLOCK = SystemClock()


async def upload(objects: MemoryObjects, content: bytes = CONTENT) -> Uploaded:
    origin = Origin(objects, CLOCK)
    root = await active_root(objects, 1.0)
    plan = UploadPlan(salt=Salt(root.id), key=KEY, key_name="k", context="c", chunk_size=4096)
    uploaded = await upload_image(iterate_in_thread([content]), OriginStore(origin, root.id), plan)
    await publish_manifest(origin, root.id, uploaded)
    return uploaded


@asynccontextmanager
async def read_path(objects: MemoryObjects, cache: Path | None = None) -> AsyncIterator[ReadPath]:
    config = Configure(cache_directory=str(cache) if cache else "")
    # No hedges: a loaded machine is slow now and then, and these tests count what the origin is asked.
    async with open_read_path(config, CLOCK, objects, OriginLimits(hedge_min_s=3600)) as path:
        yield path
        assert path.origin.hedged == 0


def chunk_gets(objects: MemoryObjects) -> list[int]:
    return [count for path, count in objects.gets.items() if "/chunks/" in path]


def test_a_hundred_cold_readers_are_one_origin_read_per_chunk() -> None:
    async def run() -> None:
        objects = MemoryObjects(latency_s=0.001)
        uploaded = await upload(objects)
        async with read_path(objects) as path:
            readers = [path.open_image(uploaded.manifest, KEY, uploaded.digest) for _ in range(100)]
            results = await asyncio.gather(*(reader.read(0, len(CONTENT)) for reader in readers))
            assert all(result == CONTENT for result in results)
        assert chunk_gets(objects) == [1] * 51

    asyncio.run(run())


def test_a_restarted_worker_reads_from_its_disk(tmp_path: Path) -> None:
    async def run() -> None:
        objects = MemoryObjects()
        uploaded = await upload(objects)
        for _ in range(2):
            async with read_path(objects, tmp_path / "cache") as path:
                reader = path.open_image(uploaded.manifest, KEY, uploaded.digest)
                assert await reader.read(0, len(CONTENT)) == CONTENT
                await path.filler.drain()
        assert chunk_gets(objects) == [1] * 51

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "swap"])
def test_a_disk_cache_that_was_damaged_is_repaired_from_the_origin(damage: str, tmp_path: Path) -> None:
    async def run() -> None:
        objects = MemoryObjects()
        uploaded = await upload(objects)
        for _ in range(3):
            async with read_path(objects, tmp_path) as path:
                reader = path.open_image(uploaded.manifest, KEY, uploaded.digest)
                assert await reader.read(0, len(CONTENT)) == CONTENT
                await path.filler.drain()
            files = sorted(tmp_path.glob("??/*"))
            assert len(files) == 51
            if damage == "flip":
                files[3].write_bytes(bytes(byte ^ 1 for byte in files[3].read_bytes()))
            elif damage == "cut":
                os.truncate(files[3], 100)
            elif damage == "delete":
                files[3].unlink()
            else:
                files[3].write_bytes(files[4].read_bytes())
        assert sorted(chunk_gets(objects)) == [1] * 50 + [3]

    asyncio.run(run())


def test_an_image_is_found_by_its_digest_and_refused_under_a_wrong_key() -> None:
    async def run() -> None:
        objects = MemoryObjects()
        uploaded = await upload(objects)
        async with read_path(objects) as path:
            reader = await path.fetch_image(uploaded.digest, KEY)
            assert await reader.read(0, 100) == CONTENT[:100]
            with pytest.raises(BlockError, match="wrong key"):
                await path.fetch_image(uploaded.digest, bytes(32))
            with pytest.raises(BlockError, match="in no root"):
                await path.fetch_image("0" * 64, KEY)

    asyncio.run(run())


def test_an_error_inside_comes_out_as_it_is() -> None:
    async def run() -> None:
        async with read_path(MemoryObjects()) as path:
            await path.fetch_image("0" * 64, KEY)

    with pytest.raises(BlockError, match="in no root"):
        asyncio.run(run())


def test_traces_are_saved_for_every_worker_and_damaged_ones_are_none() -> None:
    async def run() -> None:
        objects = MemoryObjects()
        uploaded = await upload(objects)
        async with read_path(objects) as path:
            manifest = (await path.fetch_image(uploaded.digest, KEY)).manifest
            assert await path.load_trace(manifest) == ()
            await path.save_trace(manifest, (TraceEntry(3, 0), TraceEntry(1, 5)))
            assert await path.load_trace(manifest) == (TraceEntry(3, 0), TraceEntry(1, 5))
            (name,) = (path for path in objects.contents if "/traces/" in path)
            objects.contents[name] = b"garbage"
            assert await path.load_trace(manifest) == ()

    asyncio.run(run())


def test_empty_caches_at_full_concurrency_recover_and_the_origin_is_not_melted() -> None:
    """Two hundred different images at once through one origin: bounded, and all of them come up."""

    async def run() -> None:
        objects = MemoryObjects()
        images = [await upload(objects, os.urandom(4096 * 3)) for _ in range(200)]
        objects.latency_s = 0.001
        async with read_path(objects) as path:
            readers = [path.open_image(image.manifest, KEY, image.digest) for image in images]
            await asyncio.gather(*(reader.read(0, reader.size) for reader in readers))
            assert objects.most_at_once <= 64
            assert path.gate.under_way == 0
        assert chunk_gets(objects) == [1] * 600

    asyncio.run(run())


def test_the_configuration_names_the_origin(tmp_path: Path) -> None:
    assert isinstance(open_objects(Configure(origin_directory=str(tmp_path))), DirectoryObjects)
    assert isinstance(open_objects(Configure(bucket="b", endpoint="http://127.0.0.1:1")), S3Objects)
    with pytest.raises(BlockError, match="no origin"):
        open_objects(Configure())
