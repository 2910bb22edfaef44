"""Background work ends with its block, and neither hides the other's errors."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.chunks.background import running


async def forever() -> None:
    await asyncio.Event().wait()


def test_the_work_runs_beside_the_block_and_ends_with_it() -> None:
    heard: list[str] = []

    async def work() -> None:
        heard.append("begun")
        try:
            await forever()
        finally:
            heard.append("ended")

    async def run() -> None:
        async with running(work):
            await asyncio.sleep(0)
            assert heard == ["begun"]
        assert heard == ["begun", "ended"]

    asyncio.run(run())


def test_what_the_block_raises_comes_out_as_it_is() -> None:
    async def run() -> None:
        async with running(forever):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(run())


def test_work_that_fails_cancels_the_block_and_is_told() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with running(fail):
            await forever()

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(run())
    assert raised.group_contains(ZeroDivisionError)


def test_a_cancelled_block_stays_cancelled() -> None:
    async def block() -> None:
        async with running(forever):
            await forever()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(block())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()

    asyncio.run(run())
