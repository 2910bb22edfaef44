"""Both event tables against the one contract."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from lambdad.store.event_queue import EventTable
from lambdad.store.event_queue_memory import MemoryEvents
from lambdad.testing.conformance.event_queue import CHECKS, Check
from lambdad.testing.event_doubles import sqlite_events

TABLES: dict[str, Callable[[], AbstractContextManager[EventTable]]] = {
    "sqlite": sqlite_events,
    "memory": lambda: nullcontext(MemoryEvents()),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("kind", TABLES)
def test_the_table_keeps_the_contract(kind: str, check: Check) -> None:
    with TABLES[kind]() as table:
        check(table)
