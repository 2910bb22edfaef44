"""SQLite behind one thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambdad.store.database import Database, StoreError, statements


def migrations(root: Path, **scripts: str) -> Path:
    directory = root / "migrations"
    directory.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (directory / f"{name}.sql").write_text(script)
    return directory


def run(path: Path, scripts: Path, body: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database(path / "test.db", scripts)
        try:
            await database.open()
            await asyncio.wait_for(body(database), 60)
        finally:
            await database.close()
            await database.close()

    asyncio.run(main())


async def rows(database: Database, query: str) -> list[object]:
    return await database.read(lambda connection: [row[0] for row in connection.execute(query)])


def test_migrations_are_applied_in_order_and_once(tmp_path: Path) -> None:
    async def body(database: Database) -> None:
        assert await rows(database, "SELECT a FROM t") == [1]
        assert await rows(database, "SELECT name FROM migrations ORDER BY name") == ["0001_make.sql", "0002_fill.sql"]

    scripts = migrations(
        tmp_path, **{"0002_fill": "INSERT INTO t VALUES (1);", "0001_make": "CREATE TABLE t (a INTEGER);"}
    )
    run(tmp_path, scripts, body)
    run(tmp_path, scripts, body)


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def nothing(database: Database) -> None:
        raise AssertionError("it must not open")

    async def body(database: Database) -> None:
        assert await rows(database, "SELECT name FROM sqlite_master WHERE name = 't'") == ["t"]

    scripts = migrations(tmp_path, **{"0001_make": "CREATE TABLE t (a INTEGER); CREATE nonsense;"})
    with pytest.raises(StoreError, match="cannot open the database"):
        run(tmp_path, scripts, nothing)
    run(tmp_path, migrations(tmp_path, **{"0001_make": "CREATE TABLE t (a INTEGER);"}), body)


def test_a_database_of_a_newer_lambdad_is_left_alone(tmp_path: Path) -> None:
    async def nothing(database: Database) -> None: ...

    scripts = migrations(tmp_path, **{"0001_make": "CREATE TABLE t (a INTEGER);"})
    run(tmp_path, scripts, nothing)
    (scripts / "0001_make.sql").unlink()
    with pytest.raises(StoreError, match="newer lambdad"):
        run(tmp_path, scripts, nothing)


def test_work_that_raises_is_rolled_back_and_raises_to_its_caller(tmp_path: Path) -> None:
    async def body(database: Database) -> None:
        def fail(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await database.write(fail)
        assert await rows(database, "SELECT a FROM t") == []
        await database.write(lambda connection: connection.execute("INSERT INTO t VALUES (2)").rowcount)
        assert await rows(database, "SELECT a FROM t") == [2]

    run(tmp_path, migrations(tmp_path, **{"0001_make": "CREATE TABLE t (a INTEGER);"}), body)


def test_a_write_is_carried_out_though_its_caller_gave_up(tmp_path: Path) -> None:
    async def body(database: Database) -> None:
        begun, go, after = threading.Event(), threading.Event(), threading.Event()

        def slow(connection: sqlite3.Connection) -> None:
            begun.set()
            assert go.wait(60)
            connection.execute("INSERT INTO t VALUES (1)")

        async with asyncio.TaskGroup() as tasks:
            write = tasks.create_task(database.write(slow, after.set))
            await asyncio.to_thread(begun.wait, 60)
            write.cancel()
        go.set()
        assert await rows(database, "SELECT a FROM t") == [1]
        assert after.is_set()

    run(tmp_path, migrations(tmp_path, **{"0001_make": "CREATE TABLE t (a INTEGER);"}), body)


def test_what_is_acknowledged_is_on_disk(tmp_path: Path) -> None:
    async def body(database: Database) -> None:
        assert await rows(database, "PRAGMA journal_mode") == ["wal"]
        assert await rows(database, "PRAGMA synchronous") == [2]

    run(tmp_path, migrations(tmp_path), body)


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        database = Database(tmp_path / "test.db", migrations(tmp_path))
        with pytest.raises(StoreError, match="is not open"):
            await rows(database, "SELECT 1")
        await database.close()

    asyncio.run(main())


def test_statements_are_separated_and_comments_dropped() -> None:
    assert statements("-- a; comment\nSELECT 1;\n\n  -- more;\nSELECT\n 2;\n") == ["SELECT 1", "SELECT\n 2"]
