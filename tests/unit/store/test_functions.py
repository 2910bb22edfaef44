"""The tables of functions and versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.unit.store.records import OTHER, SPACE, make_alias, make_function, make_version, run_with_store

from lambdad.model.arn import Namespace
from lambdad.store.changes import FunctionChanged, FunctionRemoved, VersionChanged, VersionRemoved
from lambdad.store.functions import version_number
from lambdad.store.metadata import SqliteStore, Transaction


def fill(transaction: Transaction) -> None:
    for name in ("f", "g"):
        transaction.functions.put(make_function(name))
        for version in ("$LATEST", "1", "2", "10"):
            transaction.functions.put_version(make_version(version, name))
    transaction.functions.put(make_function("f", OTHER))
    transaction.functions.put_version(make_version("$LATEST", "f", OTHER))


def test_records_come_back_and_namespaces_are_apart(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.write(fill)

        def check(transaction: Transaction) -> None:
            functions = transaction.functions
            assert functions.get(SPACE, "f") == make_function("f")
            assert functions.get(OTHER, "g") is None
            assert functions.version(SPACE, "f", "10") == make_version("10")
            assert functions.version(OTHER, "f", "1") is None
            assert functions.version(SPACE, "f", "live") is None
            assert [function.name for function in functions.of_namespace(SPACE)] == ["f", "g"]
            assert (functions.count(SPACE), functions.code_size(SPACE)) == (2, 8 * 7)
            assert functions.code_size(Namespace("999999999999", "eu-west-1")) == 0
            assert functions.reserving(SPACE) == []
            assert len(list(functions.all())) == 3
            assert len(list(functions.all_versions())) == 9

        await store.read(check)

    run_with_store(tmp_path, body)


def test_versions_are_ordered_by_number(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.write(fill)

        def check(transaction: Transaction) -> None:
            functions = transaction.functions
            assert [v.version for v in functions.versions(SPACE, "f", 0, 10)] == ["$LATEST", "1", "2", "10"]
            assert [v.version for v in functions.versions(SPACE, "f", 2, 1)] == ["2"]
            newest = functions.last_published(SPACE, "f")
            assert newest is not None
            assert newest.version == "10"
            assert [v.name for v in functions.latest_versions(SPACE, "g", 10)] == ["g"]
            pairs = [(v.name, v.version) for v in functions.namespace_versions(SPACE, "f", 10, 3)]
            assert pairs == [("f", "10"), ("g", "$LATEST"), ("g", "1")]

        await store.read(check)

    run_with_store(tmp_path, body)


def test_a_function_goes_with_everything_and_leaves_the_others(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.write(fill)

        def remove(transaction: Transaction) -> None:
            transaction.aliases.put(make_alias())
            transaction.tags.put(SPACE, make_function().arn, {"a": "b"})
            transaction.functions.remove(make_function())
            assert transaction.functions.versions(SPACE, "f", 0, 10) == []
            assert transaction.aliases.of_function(SPACE, "f") == []
            assert transaction.tags.get(SPACE, make_function().arn) == {}
            assert transaction.functions.last_published(SPACE, "f") is None
            assert transaction.functions.get(SPACE, "g") is not None
            assert transaction.functions.get(OTHER, "f") is not None

        await store.write(remove)

    run_with_store(tmp_path, body)


def test_every_write_is_noted(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        function, version = make_function(), make_version("1")

        def work(transaction: Transaction) -> list[object]:
            transaction.functions.put(function)
            transaction.functions.put(replace(function, reserved_concurrency=3))
            transaction.functions.put_version(version)
            transaction.functions.remove_version(version)
            transaction.functions.remove(function)
            return list(transaction.changes)

        assert await store.write(work) == [
            FunctionChanged(function),
            FunctionChanged(replace(function, reserved_concurrency=3)),
            VersionChanged(version),
            VersionRemoved(SPACE, "f", "1"),
            FunctionRemoved(SPACE, "f"),
        ]

    run_with_store(tmp_path, body)


def test_what_is_a_version_number() -> None:
    texts = ("$LATEST", "1", "10", "", "live", "-1", "1.0", "²", "9" * 19)
    assert [version_number(text) for text in texts] == [0, 1, 10, None, None, None, None, None, None]
