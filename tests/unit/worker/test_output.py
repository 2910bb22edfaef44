"""What is read of a process, and how much of it at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from lambdad.testing.waiting import wait_until_async
from lambdad.worker.output import WINDOW, OutputReader

DEADLINE_S = 30.0


def run(test: Callable[[OutputReader, int, bytearray], Awaitable[None]]) -> None:
    async def main() -> None:
        got = bytearray()
        theirs, ours = os.pipe()
        os.set_blocking(theirs, False)
        os.set_blocking(ours, False)
        reader = OutputReader(asyncio.get_running_loop(), theirs, got.extend)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await test(reader, ours, got)
        finally:
            reader.stop()
            os.close(theirs)
            os.close(ours)

    asyncio.run(main())


def test_what_is_written_comes_and_stopping_takes_the_rest() -> None:
    async def test(reader: OutputReader, ours: int, got: bytearray) -> None:
        os.write(ours, b"one")
        await wait_until_async(lambda: got == b"one", "output")
        os.write(ours, b"two")
        reader.stop()
        assert got == b"onetwo"
        reader.refill()
        os.write(ours, b"three")
        reader.drain()
        assert got == b"onetwo"

    run(test)


def test_a_flood_waits_in_its_pipe_until_the_next_tick() -> None:
    async def test(reader: OutputReader, ours: int, got: bytearray) -> None:
        piece = b"x" * 32_768
        while len(got) < WINDOW:
            try:
                os.write(ours, piece)
            except BlockingIOError:
                reader.drain()
        os.write(ours, b"more")
        reader.drain()
        assert b"more" not in got
        reader.refill()
        await wait_until_async(lambda: got.endswith(b"more"), "the rest")

    run(test)
