"""The table of code signing configurations."""

from __future__ import annotations

from pathlib import Path

from tests.unit.store.records import OTHER, SPACE, run_with_store

from lambdad.model.settings import CodeSigningConfig
from lambdad.store.metadata import SqliteStore, Transaction


def test_configurations_are_kept_listed_and_removed(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def work(transaction: Transaction) -> None:
            table = transaction.code_signing
            configs = [CodeSigningConfig(id=name, publishers=("p",), last_modified=1.0) for name in "abc"]
            for config in configs:
                table.put(SPACE, config)
            assert table.get(SPACE, "b") == configs[1]
            assert table.get(OTHER, "b") is None
            assert table.page(SPACE, "b", 1) == [configs[1]]
            table.remove(SPACE, "b")
            assert table.page(SPACE, "", 10) == [configs[0], configs[2]]

        await store.write(work)

    run_with_store(tmp_path, body)
