"""The table of aliases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.unit.store.records import OTHER, SPACE, make_alias, run_with_store

from lambdad.store.changes import AliasChanged, AliasRemoved
from lambdad.store.metadata import SqliteStore, Transaction


def test_aliases_are_kept_changed_listed_and_removed(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        live, blue = make_alias(), make_alias("blue", "$LATEST")
        moved = replace(live, version="2", weights={})

        def work(transaction: Transaction) -> None:
            aliases = transaction.aliases
            for alias in (live, blue, moved):
                aliases.put(alias)
            assert aliases.get(SPACE, "f", "live") == moved
            assert aliases.get(OTHER, "f", "live") is None
            assert aliases.of_function(SPACE, "f") == [blue, moved]
            assert list(aliases.all()) == [blue, moved]
            aliases.remove(moved)
            assert aliases.of_function(SPACE, "f") == [blue]
            assert transaction.changes == [
                AliasChanged(live),
                AliasChanged(blue),
                AliasChanged(moved),
                AliasRemoved(SPACE, "f", "live"),
            ]

        await store.write(work)

    run_with_store(tmp_path, body)
