"""The table of settings per qualifier."""

from __future__ import annotations

from pathlib import Path

from tests.unit.store.records import SPACE, run_with_store

from lambdad.model.settings import InvokeConfig, RuntimeManagement
from lambdad.store.changes import SettingChanged
from lambdad.store.metadata import SqliteStore, Transaction
from lambdad.store.settings import INVOKE_CONFIG, RUNTIME_MANAGEMENT

CONFIG = InvokeConfig(last_modified=1.0, maximum_retries=1)
RUNTIME = RuntimeManagement(update_on="Manual")


def fill(transaction: Transaction) -> None:
    transaction.settings.put(INVOKE_CONFIG, SPACE, "f", "live", CONFIG)
    transaction.settings.put(INVOKE_CONFIG, SPACE, "f", "$LATEST", CONFIG)
    transaction.settings.put(RUNTIME_MANAGEMENT, SPACE, "f", "live", RUNTIME)


def test_kinds_and_qualifiers_are_apart(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.write(fill)

        def check(transaction: Transaction) -> None:
            settings = transaction.settings
            assert settings.get(INVOKE_CONFIG, SPACE, "f", "live") == CONFIG
            assert settings.get(RUNTIME_MANAGEMENT, SPACE, "f", "live") == RUNTIME
            assert settings.get(RUNTIME_MANAGEMENT, SPACE, "f", "$LATEST") is None
            assert settings.of_function(INVOKE_CONFIG, SPACE, "f") == [("$LATEST", CONFIG), ("live", CONFIG)]
            assert settings.of_namespace(RUNTIME_MANAGEMENT, SPACE) == [("f", "live", RUNTIME)]
            assert len(list(settings.all())) == 3

        await store.read(check)

    run_with_store(tmp_path, body)


def test_what_hangs_on_a_qualifier_goes_with_it(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.write(fill)

        def work(transaction: Transaction) -> None:
            transaction.settings.remove_qualifier(SPACE, "f", "live")
            assert transaction.settings.of_function(INVOKE_CONFIG, SPACE, "f") == [("$LATEST", CONFIG)]
            transaction.settings.remove(INVOKE_CONFIG, SPACE, "f", "$LATEST")
            assert transaction.changes == [
                SettingChanged(SPACE, "f", "invoke-config", "live", None),
                SettingChanged(SPACE, "f", "runtime-management", "live", None),
                SettingChanged(SPACE, "f", "invoke-config", "$LATEST", None),
            ]

        await store.write(work)

    run_with_store(tmp_path, body)
