"""The metadata store: every table in one transaction, and word of every change to those who keep copies.

Work is handed in as a function, which runs in the store's thread with a `Transaction` and must not keep it. What
raises there is rolled back and raised to the caller.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Protocol, TypeVar

from lambdad.store.aliases import Aliases
from lambdad.store.changes import Change
from lambdad.store.code_signing import CodeSigningConfigs
from lambdad.store.database import Database
from lambdad.store.functions import Functions
from lambdad.store.layers import Layers
from lambdad.store.mappings import Mappings
from lambdad.store.roles import Roles
from lambdad.store.settings import FunctionSettings
from lambdad.store.sql import Connection
from lambdad.store.tags import Tags

Result = TypeVar("Result")
Listener = Callable[[Sequence[Change]], None]


class Transaction:
    """The tables, as one transaction sees them. changes: what it has written so far, oldest first."""

    def __init__(self, connection: Connection) -> None:
        self.changes: list[Change] = []
        self.functions = Functions(connection, self.changes)
        self.aliases = Aliases(connection, self.changes)
        self.settings = FunctionSettings(connection, self.changes)
        self.layers = Layers(connection)
        self.tags = Tags(connection, self.changes)
        self.mappings = Mappings(connection, self.changes)
        self.code_signing = CodeSigningConfigs(connection)
        self.roles = Roles(connection)


class Store(Protocol):
    """What the control plane needs of a metadata store. Belongs to one event loop."""

    async def read(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` on one consistent state."""
        ...

    async def write(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` as one transaction. When this returns it is durable and every listener has heard of it."""
        ...

    def subscribe(self, listener: Listener) -> None:
        """`listener` is called in the event loop with the changes of every committed write, in their order."""
        ...


class SqliteStore:
    """The metadata store in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, files("lambdad.store") / "migrations")
        self._listeners: list[Listener] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._database.open()

    async def close(self) -> None:
        """Idempotent."""
        await self._database.close()

    async def read(self, work: Callable[[Transaction], Result]) -> Result:
        return await self._database.read(lambda connection: work(Transaction(connection)))

    async def write(self, work: Callable[[Transaction], Result]) -> Result:
        committed: list[Change] = []

        def collect(connection: sqlite3.Connection) -> Result:
            transaction = Transaction(connection)
            result = work(transaction)
            committed.extend(transaction.changes)
            return result

        # Told from the database's thread, before the caller's own future: listeners hear of a write even when its
        # caller was cancelled, in the order of the commits, and before the caller goes on.
        return await self._database.write(collect, after=lambda: self._tell(committed))

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def _tell(self, changes: Sequence[Change]) -> None:
        if changes and self._loop is not None:
            self._loop.call_soon_threadsafe(self._deliver, changes)

    def _deliver(self, changes: Sequence[Change]) -> None:
        for listener in self._listeners:
            listener(changes)
