"""The origin is pressed only so hard: concurrency, retries, hedges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lambdad.chunks.interface import ChunkInvalid, ChunkMissing, Overloaded, StoreUnavailable, name_of
from lambdad.chunks.origin import Latencies, Origin, OriginLimits, OriginStore, chunk_path, manifest_path
from lambdad.model.clock import SystemClock
from lambdad.testing.chunk_doubles import MemoryObjects, StepClock

DATA = b"some chunk"
NAME = name_of(DATA)


class Pauses:
    """Stands for sleeping: notes how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float, /) -> None:
        self.seconds.append(seconds)


def failing(times: int) -> Callable[[str, str], None]:
    left = [times]

    def before(operation: str, path: str) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise StoreUnavailable("503")

    return before


def open_store(
    objects: MemoryObjects, limits: OriginLimits | None = None, pauses: Pauses | None = None
) -> tuple[Origin, OriginStore]:
    objects.contents[chunk_path("r1", NAME)] = DATA
    origin = Origin(objects, StepClock(), limits, pauses or Pauses())
    return origin, OriginStore(origin, "r1")


def test_paths_are_the_documented_ones() -> None:
    assert chunk_path("r1", NAME) == f"r1/chunks/{NAME.hex()[:2]}/{NAME.hex()}"
    assert manifest_path("r1", "ab") == "r1/manifests/ab"


def test_a_passing_failure_is_retried_with_growing_pauses() -> None:
    pauses = Pauses()
    _, store = open_store(MemoryObjects(failing(2)), pauses=pauses)
    assert asyncio.run(store.get(NAME)) == DATA
    assert pauses.seconds == [0.05, 0.1]


def test_a_lasting_failure_is_told_after_a_few_attempts() -> None:
    _, store = open_store(MemoryObjects(failing(1000)))
    with pytest.raises(StoreUnavailable, match="503"):
        asyncio.run(store.get(NAME))


def test_a_failing_origin_gets_hardly_more_requests_than_it_would_have_got() -> None:
    requests = [0]

    def before(operation: str, path: str) -> None:
        requests[0] += 1
        raise StoreUnavailable("503")

    async def run() -> None:
        _, store = open_store(MemoryObjects(before), OriginLimits(burst=10, retry_ratio=0.1))
        for _ in range(500):
            with pytest.raises(StoreUnavailable):
                await store.get(NAME)

    asyncio.run(run())
    assert 500 <= requests[0] <= 500 * 1.1 + 10


def test_what_is_not_there_is_missing_at_once_and_empty_is_invalid() -> None:
    objects = MemoryObjects()
    _, store = open_store(objects)
    absent = name_of(b"absent")
    with pytest.raises(ChunkMissing):
        asyncio.run(store.get(absent))
    assert objects.gets[chunk_path("r1", absent)] == 1
    objects.contents[chunk_path("r1", NAME)] = b""
    with pytest.raises(ChunkInvalid):
        asyncio.run(store.get(NAME))
    assert not asyncio.run(store.has(NAME))


def test_an_answer_that_does_not_come_is_given_up() -> None:
    _, store = open_store(MemoryObjects(latency_s=3600), OriginLimits(deadline_s=0.01, attempts=2))
    with pytest.raises(StoreUnavailable, match="did not answer"):
        asyncio.run(store.get(NAME))


def test_no_more_requests_are_under_way_than_allowed_and_no_more_wait() -> None:
    async def run() -> None:
        objects = MemoryObjects(latency_s=0.01)
        origin, store = open_store(objects, OriginLimits(concurrency=3, queue=5))
        results = await asyncio.gather(*(store.get(NAME) for _ in range(20)), return_exceptions=True)
        assert objects.most_at_once == 3
        assert sum(result == DATA for result in results) == 8
        assert sum(isinstance(result, Overloaded) for result in results) == 12
        assert origin.pressure == 0.0

    asyncio.run(run())


def test_one_slow_answer_is_overtaken_by_a_hedge() -> None:
    """The first request hangs for ever; the second answers."""

    class OneHangs(MemoryObjects):
        hangs = False

        async def get(self, path: str) -> bytes:
            if self.hangs:
                self.hangs = False
                await asyncio.Event().wait()
            return await super().get(path)

    async def run() -> None:
        objects = OneHangs()
        objects.contents[chunk_path("r1", NAME)] = DATA
        store = OriginStore(Origin(objects, SystemClock(), OriginLimits(deadline_s=60)), "r1")
        for _ in range(40):
            await store.get(NAME)
        objects.hangs = True
        async with asyncio.timeout(60):
            assert await store.get(NAME) == DATA
        assert store._origin.hedged >= 1

    asyncio.run(run())


def test_hedges_are_paid_for_and_errors_of_both_are_told() -> None:
    async def run() -> None:
        objects = MemoryObjects(latency_s=0.03)
        objects.contents[chunk_path("r1", NAME)] = DATA
        limits = OriginLimits(hedge_min_s=0.0, hedge_ratio=0.05, burst=2)
        origin = Origin(objects, SystemClock(), limits)
        origin._latencies._slow = 1e-9  # everything counts as slow
        store = OriginStore(origin, "r1")
        for _ in range(15):
            await store.get(NAME)
        assert 15 < objects.gets[chunk_path("r1", NAME)] <= 15 + 2
        with pytest.raises(ChunkMissing):
            await store.get(name_of(b"absent"))

    asyncio.run(run())


def test_latencies_know_what_is_slow_only_after_enough() -> None:
    latencies = Latencies()
    for number in range(19):
        latencies.record(number)
    assert latencies.slow(0.5) is None
    latencies.record(100)
    assert latencies.slow(0.5) == 100
    assert latencies.slow(200) == 200
