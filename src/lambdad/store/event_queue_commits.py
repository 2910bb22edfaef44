"""`EventQueue` over one SQLite file of its own: whatever is handed in while a commit is on its way shares the next.

So a hundred events that come at once cost one flush of the disk, and a single one waits for nobody. The file is not
the metadata store's: a slow configuration change never delays an accept.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from lambdad.store.database import Database
from lambdad.store.event_queue import EventTable
from lambdad.store.event_queue_sqlite import SqliteEvents

Answer = TypeVar("Answer")

BATCH_MAX = 256
"""Pieces of work in one transaction: bounds how long the first of them waits for the last."""


class QueueClosed(Exception):
    """The queue ended before the work was carried out."""


class SqliteEventQueue:
    """Belongs to one event loop; works while somebody runs `run`."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, files("lambdad.store") / "event_migrations")
        self._pending: list[tuple[Callable[[EventTable], Any], asyncio.Future[Any]]] = []
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @property
    def backlog(self) -> int:
        """Pieces of work that wait for a transaction."""
        return len(self._pending)

    async def open(self) -> None:
        """Raises `StoreError` if the file cannot be used."""
        await self._database.open()

    async def close(self) -> None:
        """Carry out what `run` began; what it did not begin fails. Idempotent."""
        self._closed = True
        pending, self._pending = self._pending, []
        for _, future in pending:
            if not future.done():
                future.set_exception(QueueClosed("lambdad is stopping"))
                future.exception()  # nobody may be listening any more
        await self._database.close()

    def submit(self, work: Callable[[EventTable], Answer]) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(QueueClosed("lambdad is stopping"))
            return future
        self._pending.append((work, future))
        self._idle.clear()
        self._wanted.set()
        return future

    async def flush(self) -> None:
        """Return when everything that was handed in has been carried out."""
        await self._idle.wait()

    async def run(self) -> None:
        """Carry out the work, until cancelled."""
        while True:
            await self._wanted.wait()
            batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
            if not self._pending:
                self._wanted.clear()
            await self._commit(batch)
            if not self._pending:
                self._idle.set()

    async def _commit(self, batch: list[tuple[Callable[[EventTable], Any], asyncio.Future[Any]]]) -> None:
        def work(connection: sqlite3.Connection) -> list[Any]:
            table = SqliteEvents(connection)
            return [piece(table) for piece, _ in batch]

        try:
            answers = await self._database.write(work)
        except Exception as error:  # the disk is full, say: everybody in the transaction hears of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
