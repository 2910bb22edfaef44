"""The table of event source mappings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.unit.store.records import OTHER, SPACE, run_with_store

from lambdad.model.arn import function_arn
from lambdad.model.mapping import EventSourceMapping
from lambdad.store.catalogue import Catalogue
from lambdad.store.changes import Change, MappingChanged
from lambdad.store.metadata import SqliteStore, Transaction


def make_mapping(uuid: str) -> EventSourceMapping:
    return EventSourceMapping(
        namespace=SPACE,
        uuid=uuid,
        function="f",
        source="sqs",
        source_arn="arn",
        state="Enabled",
        state_reason="USER_INITIATED",
        last_modified=1.5,
        parameters={"BatchSize": 10, "FilterCriteria": {"Filters": [{"Pattern": "{}"}]}},
    )


def test_mappings_are_kept_changed_listed_and_removed(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def work(transaction: Transaction) -> None:
            mappings = transaction.mappings
            first, second = make_mapping("a"), make_mapping("b")
            changed = replace(second, enabled=False)
            for mapping in (second, first, changed):
                mappings.put(mapping)
            assert mappings.get(SPACE, "b") == changed
            assert mappings.get(OTHER, "b") is None
            assert list(mappings.of_namespace(SPACE, "")) == [first, changed]
            assert list(mappings.of_namespace(SPACE, "b")) == [changed]
            mappings.remove(first)
            assert list(mappings.all()) == [changed]

        heard: list[Change] = []
        store.subscribe(heard.extend)
        await store.write(work)
        arn = function_arn(SPACE, "f")
        there = [MappingChanged(SPACE, uuid, arn) for uuid in ("b", "a", "b")]
        assert heard == [*there, MappingChanged(SPACE, "a", None)]
        catalogue = Catalogue(egress="none")
        await catalogue.open(store)
        assert (catalogue.mapped_function(SPACE, "b"), catalogue.mapped_function(SPACE, "a")) == (arn, None)

    run_with_store(tmp_path, body)
