"""The tables of layers."""

from __future__ import annotations

from pathlib import Path

from tests.unit.store.records import OTHER, SPACE, make_layer, run_with_store

from lambdad.model.settings import Policy
from lambdad.store.metadata import SqliteStore, Transaction


def test_numbers_are_given_once_though_versions_go(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def work(transaction: Transaction) -> list[int]:
            layers = transaction.layers
            first = layers.allocate(SPACE, "l")
            layers.put(make_layer("l", first))
            layers.remove(SPACE, "l", first)
            return [first, layers.allocate(SPACE, "l"), layers.allocate(SPACE, "m"), layers.allocate(OTHER, "l")]

        assert await store.write(work) == [1, 2, 1, 1]

    run_with_store(tmp_path, body)


def test_versions_are_listed_newest_first(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def work(transaction: Transaction) -> None:
            layers = transaction.layers
            for name, version in (("l", 1), ("l", 2), ("m", 1), ("l", 10)):
                layers.put(make_layer(name, version))
            assert layers.get(SPACE, "l", 2) == make_layer("l", 2)
            assert layers.get(OTHER, "l", 2) is None
            assert [layer.version for layer in layers.versions(SPACE, "l", 9)] == [2, 1]
            pairs = [(layer.name, layer.version) for layer in layers.of_namespace(SPACE, "")]
            assert pairs == [("l", 10), ("l", 2), ("l", 1), ("m", 1)]
            assert [layer.name for layer in layers.of_namespace(SPACE, "m")] == ["m"]
            assert (layers.usage(SPACE), layers.usage(OTHER)) == (20, 0)
            assert len(list(layers.all())) == 4

        await store.write(work)

    run_with_store(tmp_path, body)


def test_a_policy_belongs_to_one_version(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def work(transaction: Transaction) -> None:
            layers = transaction.layers
            layers.put(make_layer("l", 1))
            layers.put(make_layer("l", 2))
            layers.put_policy(SPACE, "l", 1, Policy(revision_id="r"))
            assert layers.policy(SPACE, "l", 1) == Policy(revision_id="r")
            assert layers.policy(SPACE, "l", 2) is None
            assert layers.policy(SPACE, "l", 3) is None
            layers.put_policy(SPACE, "l", 1, None)
            assert layers.policy(SPACE, "l", 1) is None

        await store.write(work)

    run_with_store(tmp_path, body)
