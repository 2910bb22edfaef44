"""Slots, limited stores, and the gate before starts."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.chunks.interface import Overloaded, name_of
from lambdad.chunks.limited import LimitedStore, Slots, StartGate
from lambdad.testing.chunk_doubles import ScriptedStore


def test_who_waits_gets_in_order_and_who_is_too_many_is_told_at_once() -> None:
    async def run() -> None:
        slots = Slots(1, 2, "the test")
        order: list[int] = []
        leave = asyncio.Event()

        async def enter(number: int) -> None:
            async with slots:
                order.append(number)
                await leave.wait()

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(enter(number))
                await asyncio.sleep(0)
            assert (slots.waiting, slots.pressure) == (2, 1.0)
            with pytest.raises(Overloaded, match="the test has 2"):
                await enter(3)
            leave.set()
        assert order == [0, 1, 2]
        assert slots.waiting == 0

    asyncio.run(run())


def test_a_place_is_never_lost_to_a_cancelled_waiter() -> None:
    async def run() -> None:
        for turns in range(5):
            slots = Slots(1, 10, "the test")
            entered = []

            async def enter(number: int, slots: Slots, entered: list[int]) -> None:
                async with slots:
                    entered.append(number)

            await slots.__aenter__()
            async with asyncio.TaskGroup() as group:
                first = group.create_task(enter(1, slots, entered))
                group.create_task(enter(2, slots, entered))
                await asyncio.sleep(0)
                if turns % 2:
                    await slots.__aexit__(None, None, None)
                    first.cancel()
                else:
                    first.cancel()
                    await slots.__aexit__(None, None, None)
            assert entered == [2]
            async with asyncio.timeout(60), slots:
                pass

    asyncio.run(run())


def test_a_limited_store_asks_only_so_much_at_once() -> None:
    async def run() -> None:
        inner = ScriptedStore()
        inner.gate = asyncio.Event()
        data = b"chunk"
        inner.chunks[name_of(data)] = data
        store = LimitedStore(inner, 2, 100)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store.get(name_of(data))) for _ in range(10)]
            for _ in range(5):
                await asyncio.sleep(0)
            assert inner.gets.total() == 2
            inner.gate.set()
        assert [task.result() for task in tasks] == [data] * 10

    asyncio.run(run())


def test_starts_are_refused_when_too_many_are_under_way_or_the_origin_falls_behind() -> None:
    pressure = [0.0]
    gate = StartGate(2, lambda: pressure[0])
    with gate.start(), gate.start():
        with pytest.raises(Overloaded, match="2 image starts"), gate.start():
            pass
        assert gate.under_way == 2
    assert gate.under_way == 0
    pressure[0] = 0.6
    with pytest.raises(Overloaded, match="fallen behind"), gate.start():
        pass
    pressure[0] = 0.1
    with pytest.raises(RuntimeError), gate.start():
        raise RuntimeError
    assert gate.under_way == 0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        Slots(0, 1, "")
