"""The source over bytes keeps the contract of block sources."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.block.interface import BlockError
from lambdad.testing.block_doubles import BytesSource, make_reader
from lambdad.testing.conformance.block import CHECKS, Check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("is_in_memory", [True, False])
def test_the_source_over_bytes_keeps_the_contract(check: Check, is_in_memory: bool) -> None:
    content = os.urandom(50_000)

    async def run() -> None:
        await check(BytesSource(content, is_in_memory=is_in_memory), content)

    asyncio.run(run())


def test_it_fails_as_told() -> None:
    source = BytesSource(b"abc")
    source.failure = BlockError("no")
    with pytest.raises(BlockError):
        asyncio.run(source.read(0, 1))


def test_a_reader_is_made_of_bytes() -> None:
    async def run() -> None:
        reader = await make_reader(b"hello" * 1000)
        assert await reader.read(4998, 2) == b"lo"

    asyncio.run(run())
