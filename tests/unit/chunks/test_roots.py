"""Roots: records, reading across them, and the alarm of one that should not be read any more."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.chunks.interface import ChunkMissing, StoreUnavailable, name_of
from lambdad.chunks.origin import Origin, chunk_path
from lambdad.chunks.roots import (
    Root,
    RootedStore,
    RootsInvalid,
    RootState,
    active_root,
    alarm_path,
    encode_root,
    load_root,
    load_roots,
    new_root,
    parse_root,
    root_path,
)
from lambdad.testing.chunk_doubles import MemoryObjects, StepClock

DATA = os.urandom(100)
NAME = name_of(DATA)


def make_origin(**states: RootState) -> tuple[MemoryObjects, Origin, StepClock]:
    objects, clock = MemoryObjects(), StepClock()
    for root, state in states.items():
        objects.contents[root_path(root)] = encode_root(Root(root, state, 1.0))
    return objects, Origin(objects, clock), clock


def test_records_survive_and_damaged_ones_are_refused() -> None:
    root = Root("r1", RootState.RETIRED, 12.5)
    assert parse_root("r1", encode_root(root)) == root
    for data in (b"", b"[]", b"{}", b'{"version": 2}', b'{"version":1,"state":"x","since":1}', b"[" * 100_000):
        with pytest.raises(RootsInvalid, match="damaged"):
            parse_root("r1", data)
    with pytest.raises(RootsInvalid):
        parse_root("../x", encode_root(root))


def test_the_first_upload_makes_the_first_root_and_the_next_finds_it() -> None:
    async def run() -> None:
        objects, _, _ = make_origin()
        first = await active_root(objects, 100.0)
        assert first == new_root(100.0)
        assert await active_root(objects, 200.0) == first
        objects.contents[root_path(first.id)] = encode_root(Root(first.id, RootState.RETIRED, 150.0))
        second = await active_root(objects, 200.0)
        assert [root.id for root in await load_roots(objects)] == [second.id, first.id]
        assert await load_root(objects, "none") is None

    asyncio.run(run())


@pytest.mark.parametrize("state", [RootState.ACTIVE, RootState.RETIRED])
def test_a_chunk_is_found_in_whichever_root_has_it_and_that_root_is_asked_first_next_time(state: RootState) -> None:
    async def run() -> None:
        objects, origin, clock = make_origin(r3=RootState.ACTIVE, r2=state, r1=RootState.RETIRED)
        objects.contents[chunk_path("r2", NAME)] = DATA
        store = RootedStore(origin, clock)
        assert await store.get(NAME) == DATA
        asked = objects.gets[chunk_path("r3", NAME)]
        assert await store.get(NAME) == DATA
        assert objects.gets[chunk_path("r3", NAME)] == asked
        assert await store.has(NAME)
        assert not any(path.startswith("alarms/") for path in objects.contents)

    asyncio.run(run())


def test_a_read_of_an_expired_root_is_served_and_raises_an_alarm_once() -> None:
    async def run() -> None:
        objects, origin, clock = make_origin(r2=RootState.ACTIVE, r1=RootState.EXPIRED)
        objects.contents[chunk_path("r1", NAME)] = DATA
        store = RootedStore(origin, clock)
        assert await store.get(NAME) == DATA
        alarm = objects.contents[alarm_path("r1")]
        assert NAME.hex().encode() in alarm
        clock.advance(1)
        assert await store.get(NAME) == DATA
        assert objects.contents[alarm_path("r1")] == alarm

    asyncio.run(run())


def test_an_alarm_that_cannot_be_written_does_not_fail_the_read_and_is_tried_again() -> None:
    async def run() -> None:
        objects, origin, clock = make_origin(r1=RootState.EXPIRED)
        objects.contents[chunk_path("r1", NAME)] = DATA
        store = RootedStore(origin, clock)

        def refuse(operation: str, path: str) -> None:
            if operation == "put":
                raise StoreUnavailable("read-only")

        objects.before = refuse
        assert await store.get(NAME) == DATA
        objects.before = None
        assert await store.get(NAME) == DATA
        assert alarm_path("r1") in objects.contents

    asyncio.run(run())


def test_nothing_is_read_from_a_root_that_is_being_deleted() -> None:
    async def run() -> None:
        objects, origin, clock = make_origin(r1=RootState.DELETING)
        objects.contents[chunk_path("r1", NAME)] = DATA
        with pytest.raises(ChunkMissing):
            await RootedStore(origin, clock).get(NAME)

    asyncio.run(run())


def test_a_chunk_that_moved_under_a_reader_is_found_after_a_look_at_the_roots() -> None:
    async def run() -> None:
        objects, origin, clock = make_origin(r1=RootState.ACTIVE)
        store = RootedStore(origin, clock, refresh_s=30)
        with pytest.raises(ChunkMissing):
            await store.get(NAME)
        objects.contents[root_path("r2")] = encode_root(Root("r2", RootState.ACTIVE, 2.0))
        objects.contents[chunk_path("r2", NAME)] = DATA
        with pytest.raises(ChunkMissing):
            await store.get(NAME)  # looked a moment ago
        clock.advance(31)
        assert await store.get(NAME) == DATA

    asyncio.run(run())


def test_repair_without_any_root_is_refused() -> None:
    async def run() -> None:
        _, origin, clock = make_origin()
        with pytest.raises(RootsInvalid, match="no root"):
            await RootedStore(origin, clock).put(NAME, DATA)

    asyncio.run(run())


def test_hints_are_looked_for_in_the_roots_as_they_were_last_read() -> None:
    async def run() -> None:
        objects = MemoryObjects()
        origin = Origin(objects, StepClock())
        root = await active_root(objects, 1.0)
        store = RootedStore(origin, StepClock())
        assert await store.readable_roots() == [root.id]
        asked = objects.gets.total()
        assert await store.readable_roots() == [root.id]
        assert objects.gets.total() == asked

    asyncio.run(run())
