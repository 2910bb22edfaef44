"""Asynchronous invocation as a whole, over a table in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lambdad.events.policy import Timing
from lambdad.events.runner import EventRunner
from lambdad.events.schedule import Limits
from lambdad.events.service import Capacity, EventService
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation
from lambdad.store.event_queue import Selection
from lambdad.telemetry.log import silent
from lambdad.testing.event_doubles import (
    DirectQueue,
    FakeFunctions,
    RecordingObserver,
    VirtualClock,
    failed,
    succeeded,
)
from lambdad.testing.specs import make_target
from lambdad.testing.waiting import wait_until_async


class World:
    def __init__(self, capacity: Capacity | None = None) -> None:
        self.clock = VirtualClock()
        self.queue = DirectQueue()
        self.functions = FakeFunctions()
        self.observer = RecordingObserver()
        runner = EventRunner(
            self.functions,
            self.functions.settings,
            self.functions,
            self.observer,
            self.clock,
            self.clock,
            Timing(retry_delays=(0.0,)),
        )
        lanes = {"event": (runner, Limits(per_scope=2, total=2))}
        self.service = EventService(self.queue, lanes, self.observer, self.clock, silent(), capacity)  # type: ignore[arg-type]
        self.answers: list[ApiError | None] = []

    def accept(self, name: str, payload: bytes = b"{}") -> None:
        invocation = Invocation(request_id=name, payload=payload, invoked_arn="arn:f")
        self.service.accept(make_target(), invocation, self.answers.append)


def play(scene: Callable[[World], Awaitable[None]], capacity: Capacity | None = None) -> None:
    async def run() -> None:
        world = World(capacity)
        await world.service.open()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(world.service.run())
            await scene(world)
            task.cancel()

    asyncio.run(run())


def test_an_event_is_acknowledged_when_it_is_written_and_then_run() -> None:
    async def scene(world: World) -> None:
        world.accept("r-1")
        assert world.answers == []
        await wait_until_async(lambda: bool(world.functions.tickets), "the invocation")
        assert world.answers == [None]
        world.functions.tickets[0].settle(succeeded())
        await world.service.drain(30)
        assert world.observer.heard[0] == ("received", "f")
        assert world.queue.table.usage("event").leased == 0

    play(scene)


def test_an_event_that_cannot_be_written_is_an_error_for_its_sender() -> None:
    async def scene(world: World) -> None:
        world.queue.error = OSError("disk full")
        world.accept("r-1")
        await wait_until_async(lambda: bool(world.answers), "an answer")
        [error] = world.answers
        assert error is not None
        assert error.status == 500
        assert world.observer.heard == []

    play(scene)


@pytest.mark.parametrize("capacity", [Capacity(waiting=1), Capacity(waiting_size=3)])
def test_a_full_queue_refuses(capacity: Capacity) -> None:
    async def scene(world: World) -> None:
        world.accept("r-1")
        with pytest.raises(ApiError) as caught:
            world.accept("r-2")
        assert caught.value.status == 429

    play(scene, capacity)


def test_the_given_up_are_shown_redriven_and_purged() -> None:
    async def scene(world: World) -> None:
        world.functions.outcomes = [failed(), failed(), failed()]
        world.accept("r-1")
        await wait_until_async(lambda: world.queue.table.usage("event").dead == 1, "the death")
        entry = await world.service.find("r-1")
        assert entry is not None
        assert entry.reason == "RetriesExhausted"
        assert len(await world.service.entries(Selection(), 9, dead=True)) == 1
        assert await world.service.redrive(Selection(id="r-1")) == 1
        await wait_until_async(lambda: bool(world.functions.tickets), "the invocation")
        assert await world.service.purge(Selection(), dead=True) == 0
        assert (await world.service.usage())["event"].leased == 1

    play(scene)


def test_nothing_is_begun_after_a_stop_and_a_restart_goes_on() -> None:
    async def scene(world: World) -> None:
        world.accept("r-1")
        await wait_until_async(lambda: bool(world.functions.tickets), "the invocation")
        world.service.stop()
        world.accept("r-2")
        await world.service.drain(0.01)
        assert len(world.functions.tickets) == 1
        again = World()
        again.queue.table = world.queue.table
        await again.service.open()
        assert again.queue.table.usage("event").waiting == 2

    play(scene)
