"""Every block source against the one contract."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from lambdad.block.interface import BlockSource
from lambdad.block.overlay import OverlaySource
from lambdad.block.plain_cache import PlainCache
from lambdad.block.reader import ImageReader
from lambdad.chunks.codec import Salt, Tails
from lambdad.chunks.manifest import open_manifest
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, upload_image
from lambdad.model.clock import SystemClock
from lambdad.testing.chunk_doubles import ScriptedStore
from lambdad.testing.conformance.block import CHECKS, WRITABLE_CHECKS, Check, WritableCheck

KEY = bytes(range(32))
CHUNK = 64 * 1024


def make_content(size: int) -> bytes:
    """Data and holes of all lengths, and an end that is not a multiple of anything."""
    chooser = random.Random(size)
    content = bytearray()
    while len(content) < size:
        length = chooser.choice((1, 100, 4096, 20_000, CHUNK, 3 * CHUNK))
        content += chooser.randbytes(length) if chooser.random() < 0.6 else bytes(length)
    return bytes(content[:size])


async def open_reader(content: bytes, tails: Tails = Tails.TRIM, memory: int = 2**30) -> ImageReader:
    store = ScriptedStore()
    plan = UploadPlan(salt=Salt("r1"), key=KEY, key_name="k", context="c", chunk_size=CHUNK, tails=tails)
    uploaded = await upload_image(iterate_in_thread([content] if content else []), store, plan)
    return ImageReader(open_manifest(uploaded.manifest, KEY), PlainCache(store, memory, SystemClock()))


@pytest.mark.parametrize("size", [0, 1, 4095, CHUNK, CHUNK + 1, 20 * CHUNK + 12_345])
@pytest.mark.parametrize("tails", list(Tails))
@pytest.mark.parametrize("memory", [2**30, 0], ids=["everything in memory", "nothing in memory"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_image_reader_keeps_the_contract(check: Check, size: int, tails: Tails, memory: int) -> None:
    async def run() -> None:
        content = make_content(size)
        await check(await open_reader(content, tails, memory), content)

    asyncio.run(run())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_untouched_overlay_keeps_the_contract(check: Check, tmp_path: Path) -> None:
    async def run() -> None:
        content = make_content(300_001)
        source: BlockSource = OverlaySource(await open_reader(content), tmp_path, 2**30)
        await check(source, content)
        await source.close()

    asyncio.run(run())


@pytest.mark.parametrize("check", WRITABLE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("size", [4096 * 3, 300_001])
def test_an_overlay_keeps_the_contract_of_writable_sources(check: WritableCheck, size: int, tmp_path: Path) -> None:
    async def run() -> None:
        content = make_content(size)
        source = OverlaySource(await open_reader(content), tmp_path, 2**30)
        await check(source, content)
        await source.close()

    asyncio.run(run())
