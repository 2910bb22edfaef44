"""What the SQL of the event table must do beyond the contract: stay quick when one scope has very many messages."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

import pytest

from lambdad.store import event_queue_sqlite as sql
from lambdad.store.database import migrate


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (sql.DUE_BY_SCOPE, ("event",)),
        (sql.DUE, ("event", "a", 1.0, 9)),
        (sql.NEXT_DUE, ("event", "a")),
        (sql.ACK, ("event", "1", 1)),
        (sql.NACK, (1.0, 1, 1, b"", "event", "1", 1)),
        (sql.EXTEND, (1.0, "event", "1", 1)),
    ],
)
def test_the_statements_of_every_event_search_by_index(statement: str, parameters: tuple[object, ...]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, files("lambdad.store") / "event_migrations")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    steps = [step for step in plan if " messages" in step]
    assert steps
    assert [step for step in steps if not step.startswith("SEARCH")] == []
    connection.close()
