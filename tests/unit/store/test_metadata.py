"""Transactions over all tables, and who hears of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from tests.unit.store.records import SPACE, make_function, run_with_store

from lambdad.model.function import Function
from lambdad.store.changes import Change, FunctionChanged
from lambdad.store.metadata import SqliteStore, Transaction


def put(function: Function, transaction: Transaction) -> None:
    transaction.functions.put(function)


def test_listeners_hear_of_a_write_before_its_caller_goes_on(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        heard: list[Change] = []
        store.subscribe(heard.extend)
        for name in ("a", "b"):
            function = make_function(name)
            await store.write(partial(put, function))
            assert heard[-1] == FunctionChanged(function)
        await store.read(lambda transaction: transaction.functions.get(SPACE, "a"))
        assert len(heard) == 2

    run_with_store(tmp_path, body)


def test_nobody_hears_of_a_write_that_failed(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        heard: list[Sequence[Change]] = []
        store.subscribe(heard.append)

        def fail(transaction: Transaction) -> None:
            transaction.functions.put(make_function())
            raise KeyError

        with pytest.raises(KeyError):
            await store.write(fail)
        assert await store.read(lambda transaction: transaction.functions.get(SPACE, "f")) is None
        assert heard == []

    run_with_store(tmp_path, body)


def test_listeners_hear_of_a_write_whose_caller_gave_up(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        heard: list[Change] = []
        store.subscribe(heard.extend)
        begun, go = threading.Event(), threading.Event()

        def slow(transaction: Transaction) -> None:
            begun.set()
            assert go.wait(60)
            transaction.functions.put(make_function())

        async with asyncio.TaskGroup() as tasks:
            write = tasks.create_task(store.write(slow))
            await asyncio.to_thread(begun.wait, 60)
            write.cancel()
        go.set()
        assert await store.read(lambda transaction: transaction.functions.get(SPACE, "f")) == make_function()
        assert heard == [FunctionChanged(make_function())]

    run_with_store(tmp_path, body)
