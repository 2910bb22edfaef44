"""Copy on write: what a conformance suite cannot see."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from lambdad.block import overlay
from lambdad.block.interface import BlockError, NoSpace
from lambdad.block.overlay import PAGE, OverlaySource
from lambdad.testing.block_doubles import BytesSource

CONTENT = os.urandom(10 * PAGE + 100)


def make(tmp_path: Path, limit: int = 2**20) -> tuple[BytesSource, OverlaySource]:
    below = BytesSource(CONTENT)
    return below, OverlaySource(below, tmp_path, limit)


def test_what_is_below_is_never_changed_and_nothing_has_a_name(tmp_path: Path) -> None:
    async def run() -> None:
        below, source = make(tmp_path)
        await source.write(100, b"new")
        assert below.content == CONTENT
        assert list(tmp_path.iterdir()) == []
        await source.close()
        assert below.is_closed

    asyncio.run(run())


def test_whole_pages_are_written_without_reading_below(tmp_path: Path) -> None:
    async def run() -> None:
        below, source = make(tmp_path)
        await source.write(PAGE, bytes(PAGE))
        await source.write_zeros(5 * PAGE, 2 * PAGE)
        assert below.reads == 0
        await source.write(3, b"x")
        assert below.reads == 1
        await source.close()

    asyncio.run(run())


def test_what_lies_on_the_disk_is_encrypted_and_rewriting_does_not_repeat_a_key_stream(tmp_path: Path) -> None:
    async def run() -> None:
        _, source = make(tmp_path)
        secret = b"secret!!" * (PAGE // 8)
        await source.write(0, secret)
        first = os.pread(source._file, PAGE, 0)
        await source.write(0, bytes(PAGE))
        second = os.pread(source._file, PAGE, 0)
        assert b"secret!!" not in first
        assert bytes(a ^ b for a, b in zip(first, second, strict=True)) != secret
        await source.close()

    asyncio.run(run())


def test_the_limit_holds_and_zeros_give_space_back(tmp_path: Path) -> None:
    async def run() -> None:
        _, source = make(tmp_path, limit=2 * PAGE)
        await source.write(0, b"a" * 2 * PAGE)
        assert source.written == 2 * PAGE
        with pytest.raises(NoSpace, match="larger limit"):
            await source.write(4 * PAGE, b"b")
        await source.write(0, b"c")  # a page that is there already
        await source.write_zeros(0, PAGE)
        await source.write(4 * PAGE, b"b")
        assert await source.read(4 * PAGE, 1) == b"b"
        await source.close()

    asyncio.run(run())


@pytest.mark.parametrize(("number", "error"), [(28, NoSpace), (5, BlockError)])
def test_a_disk_that_is_full_or_broken_fails_the_write_and_keeps_the_old_bytes(
    number: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        _, source = make(tmp_path)

        def fail(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(overlay.os, "pwrite", fail)
        with pytest.raises(error):
            await source.write(0, b"x")
        monkeypatch.undo()
        assert await source.read(0, len(CONTENT)) == CONTENT
        assert source.written == 0
        await source.close()

    asyncio.run(run())


def test_a_disk_that_is_too_large_is_refused(tmp_path: Path) -> None:
    class Huge(BytesSource):
        @property
        def size(self) -> int:
            return 2**44 + 1

    with pytest.raises(ValueError, match="too large"):
        OverlaySource(Huge(b""), tmp_path, 1)
