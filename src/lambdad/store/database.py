"""SQLite behind one thread: every statement of a database runs there, so nothing blocks the event loop.

Not an interface of its own: `store.metadata` is. A write is answered after its commit is on disk (WAL with
synchronous=FULL), so what a caller was told survives the process and the machine losing power.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

MEMORY = Path(":memory:")


class StoreError(Exception):
    """The database cannot be used; the text says what to do."""


class Database:
    """One SQLite file and the thread that owns its connection.

    migrations: a directory of `NNNN_name.sql`, applied in order, once each.
    """

    def __init__(self, path: Path, migrations: Traversable) -> None:
        self._path = path
        self._migrations = migrations
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sqlite-{path.stem}")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or create the file and bring its tables up to date."""
        await self._run(self._open)

    async def close(self) -> None:
        """Wait for what was handed in, then close. Idempotent."""
        if self._connection is not None:
            await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """`work` in the database's thread on one consistent state."""
        return await self._run(lambda: self._transact("BEGIN", work, _nothing))

    async def write(
        self, work: Callable[[sqlite3.Connection], Result], after: Callable[[], None] | None = None
    ) -> Result:
        """`work` as one transaction, durable when this returns; rolled back if it raises.

        after: called in the thread once the commit is on disk. A caller that is cancelled does not undo its write:
        it is carried out all the same, `after` included.
        """
        return await self._run(lambda: self._transact("BEGIN IMMEDIATE", work, after or _nothing))

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _transact(self, begin: str, work: Callable[[sqlite3.Connection], Result], after: Callable[[], None]) -> Result:
        connection = self._connection
        if connection is None:
            raise StoreError(f"the database {self._path} is not open")
        connection.execute(begin)
        try:
            result = work(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        after()
        return result

    def _open(self) -> None:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA busy_timeout=5000")
                migrate(connection, self._migrations)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the database {self._path}: {error}") from error
        self._connection = connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _nothing() -> None:
    """After a transaction that nobody waits to hear of."""


def migrate(connection: sqlite3.Connection, migrations: Traversable) -> None:
    """Apply the migrations that this database has not seen, each in a transaction with the note that it was applied."""
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
    applied = {name for (name,) in connection.execute("SELECT name FROM migrations")}
    scripts = sorted(
        (entry for entry in migrations.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
    )
    unknown = applied - {script.name for script in scripts}
    if unknown:
        raise StoreError(f"the database was made by a newer lambdad (it has {min(unknown)}): upgrade lambdad")
    for script in scripts:
        if script.name not in applied:
            _apply(connection, script)


def _apply(connection: sqlite3.Connection, script: Traversable) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(script.read_text()):
            connection.execute(statement)
        connection.execute("INSERT INTO migrations (name) VALUES (?)", (script.name,))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def statements(script: str) -> list[str]:
    """The statements of a migration: comments are whole lines, and no string in it holds a semicolon."""
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in code.split(";") if statement.strip()]
