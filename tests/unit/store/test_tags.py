"""The table of tags."""

from __future__ import annotations

from pathlib import Path

from tests.unit.store.records import OTHER, SPACE, run_with_store

from lambdad.store.changes import Change, TagsChanged
from lambdad.store.metadata import SqliteStore, Transaction


def test_tags_are_added_replaced_and_removed_per_resource(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def work(transaction: Transaction) -> None:
            tags = transaction.tags
            tags.put(SPACE, "r", {"b": "1", "a": "2"})
            tags.put(SPACE, "r", {"b": "3"})
            tags.put(SPACE, "s", {"c": "4"})
            assert list(tags.get(SPACE, "r").items()) == [("a", "2"), ("b", "3")]
            assert tags.get(OTHER, "r") == {}
            tags.remove(SPACE, "r", ["a", "none"])
            assert tags.get(SPACE, "r") == {"b": "3"}
            tags.remove_all(SPACE, "r")
            assert (tags.get(SPACE, "r"), tags.get(SPACE, "s")) == ({}, {"c": "4"})

        await store.write(work)

    run_with_store(tmp_path, body)


def test_every_change_is_told_with_all_tags_that_there_are_now(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        heard: list[Change] = []
        store.subscribe(heard.extend)
        await store.write(lambda transaction: transaction.tags.put(SPACE, "r", {"a": "1"}))
        await store.write(lambda transaction: transaction.tags.put(SPACE, "r", {"b": "2"}))
        await store.write(lambda transaction: transaction.tags.put(SPACE, "r", {}))
        await store.write(lambda transaction: transaction.tags.remove(SPACE, "r", ["a"]))
        assert await store.read(lambda transaction: list(transaction.tags.all())) == [TagsChanged("r", {"b": "2"})]
        await store.write(lambda transaction: transaction.tags.remove_all(SPACE, "r"))
        assert heard == [TagsChanged("r", tags) for tags in ({"a": "1"}, {"a": "1", "b": "2"}, {"b": "2"}, {})]

    run_with_store(tmp_path, body)
