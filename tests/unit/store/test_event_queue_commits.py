"""The queue's file: durable when told so, one commit for many, errors for everybody in the transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambdad.store.event_queue import EventTable
from lambdad.store.event_queue_commits import QueueClosed, SqliteEventQueue
from lambdad.testing.conformance.event_queue import NOW, make_message


def play(path: Path, scene: Callable[[SqliteEventQueue], Awaitable[None]]) -> None:
    async def run() -> None:
        queue = SqliteEventQueue(path)
        await queue.open()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(queue.run())
            try:
                await scene(queue)
            finally:
                task.cancel()
        await queue.close()
        await queue.close()

    asyncio.run(run())


def test_what_was_acknowledged_is_there_for_the_next_process(tmp_path: Path) -> None:
    async def write(queue: SqliteEventQueue) -> None:
        await queue.submit(lambda table: table.put([make_message("1")], NOW))

    async def read(queue: SqliteEventQueue) -> None:
        assert (await queue.submit(lambda table: table.usage("event"))).waiting == 1

    play(tmp_path / "events.db", write)
    play(tmp_path / "events.db", read)


def test_work_that_comes_together_shares_few_commits_and_keeps_its_order(tmp_path: Path) -> None:
    async def scene(queue: SqliteEventQueue) -> None:
        tables: list[EventTable] = []

        def put(table: EventTable, number: int) -> int:
            tables.append(table)
            table.put([make_message(str(number))], NOW)
            return number

        futures = [queue.submit(lambda table, number=number: put(table, number)) for number in range(600)]
        assert queue.backlog == 600
        await queue.flush()
        assert [future.result() for future in futures] == list(range(600))
        assert len({id(table) for table in tables}) <= 4
        assert queue.backlog == 0

    play(tmp_path / "events.db", scene)


def test_a_failed_transaction_is_undone_and_told_to_all_in_it(tmp_path: Path) -> None:
    async def scene(queue: SqliteEventQueue) -> None:
        def fail(table: EventTable) -> None:
            raise OSError("disk full")

        good = queue.submit(lambda table: table.put([make_message("1")], NOW))
        bad = queue.submit(fail)
        for future in (good, bad):
            with pytest.raises(OSError, match="disk full"):
                await future
        assert (await queue.submit(lambda table: table.usage("event"))).waiting == 0

    play(tmp_path / "events.db", scene)


def test_a_closed_queue_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        queue = SqliteEventQueue(tmp_path / "events.db")
        await queue.open()
        waiting = queue.submit(lambda table: table.usage("event"))
        await queue.close()
        for future in (waiting, queue.submit(lambda table: table.usage("event"))):
            with pytest.raises(QueueClosed):
                await future

    asyncio.run(run())
