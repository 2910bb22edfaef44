"""The driver of a lane over a table in memory: leases, settles, survives faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lambdad.events.dispatcher import HEARTBEAT_S, LEASE_MARGIN_S, Dispatcher
from lambdad.events.schedule import Limits
from lambdad.events.verdict import Done, GivenUp, Later, Settle
from lambdad.store.event_queue import Death, Message, Retry, Usage
from lambdad.telemetry.log import silent
from lambdad.testing.conformance.event_queue import make_message
from lambdad.testing.event_doubles import DirectQueue, VirtualClock
from lambdad.testing.waiting import wait_until_async


class World:
    """A dispatcher that runs, and a handler that lets the test settle."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.queue = DirectQueue()
        self.started: list[tuple[Message, Settle]] = []
        self.announced: list[str] = []
        self.fault: Exception | None = None
        self.dispatcher = Dispatcher(
            "event",
            self.queue,
            self,
            Limits(per_scope=2, total=3),
            self.clock,
            silent(),
            lambda message: self.announced.append(message.id),
        )

    def attempt_s(self, scope: str) -> float:
        return 10.0

    def start(self, message: Message, settle: Settle) -> None:
        if self.fault is not None:
            raise self.fault
        self.started.append((message, settle))

    def put(self, *names: str, scope: str = "a") -> None:
        self.queue.table.put([make_message(name, scope) for name in names], self.clock.now)
        self.dispatcher.note(scope, self.clock.now)

    async def begun(self, count: int) -> None:
        await wait_until_async(lambda: len(self.started) >= count, f"{count} attempts")

    @property
    def usage(self) -> Usage:
        return self.queue.table.usage("event")


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(world.dispatcher.run())
            await scene(world)
            task.cancel()

    asyncio.run(run())


def test_what_is_done_is_forgotten_and_what_follows_is_announced() -> None:
    async def scene(world: World) -> None:
        world.put("1")
        await world.begun(1)
        message, settle = world.started[0]
        assert (message.id, world.usage.leased) == ("1", 1)
        settle(Done([make_message("2", "target", "delivery")]))
        await wait_until_async(lambda: world.announced == ["2"], "the announcement")
        assert world.usage == Usage()
        assert world.queue.table.usage("delivery").waiting == 1

    play(scene)


def test_limits_hold_and_free_places_are_filled() -> None:
    async def scene(world: World) -> None:
        world.put("1", "2", "3", "4")
        await world.begun(2)
        world.put("5", scope="b")
        await world.begun(3)
        assert (world.usage.leased, world.usage.waiting) == (3, 2)
        world.started[0][1](Done())
        await world.begun(4)
        assert world.usage.leased == 3

    play(scene)


def test_what_is_put_back_comes_when_it_is_due() -> None:
    async def scene(world: World) -> None:
        world.put("1")
        await world.begun(1)
        world.started[0][1](Later(Retry(due=world.clock.now + 0.05, attempts=1), refused=False))
        await asyncio.sleep(0)
        world.clock.now += 1
        await world.begun(2)
        assert world.started[1][0].attempts == 1

    play(scene)


def test_the_given_up_are_kept() -> None:
    async def scene(world: World) -> None:
        world.put("1")
        await world.begun(1)
        world.started[0][1](GivenUp(Death(now=world.clock.now, reason="x", attempts=3)))
        await world.dispatcher.quiet()
        assert world.usage.dead == 1

    play(scene)


def test_a_handler_that_raises_loses_no_message() -> None:
    async def scene(world: World) -> None:
        world.fault = RuntimeError("a bug")
        world.put("1")

        def refusals() -> int:
            entry = world.queue.table.find("event", "1")
            assert entry is not None
            return entry.message.refusals

        await wait_until_async(lambda: refusals() == 1, "it to be put back")
        assert world.usage.waiting == 1

    play(scene)


def test_a_verdict_that_cannot_be_written_ends_with_the_lease() -> None:
    async def scene(world: World) -> None:
        world.put("1")
        await world.begun(1)
        world.queue.error = OSError("disk full")
        world.started[0][1](Done())
        await world.dispatcher.quiet()
        assert world.usage.leased == 1
        world.clock.now += 10 + LEASE_MARGIN_S
        world.dispatcher.note("a", world.clock.now)
        await world.begun(2)
        world.started[1][1](Done())
        await world.dispatcher.quiet()
        assert world.usage == Usage()

    play(scene)


def test_an_attempt_that_outlives_its_lease_is_not_started_twice() -> None:
    async def scene(world: World) -> None:
        world.put("1")
        await world.begun(1)
        world.clock.now += 10_000  # a machine that slept
        world.put("2")
        await world.begun(2)
        assert [message.id for message, _ in world.started] == ["1", "2"]
        world.started[0][1](Done())
        world.started[1][1](Done())
        await world.dispatcher.quiet()
        assert world.usage == Usage()

    play(scene)


def test_leases_of_long_attempts_are_extended() -> None:
    async def scene(world: World) -> None:
        world.put("1")
        await world.begun(1)
        world.clock.now += 10 + LEASE_MARGIN_S - HEARTBEAT_S
        world.put("2")
        await world.begun(2)
        entry = world.queue.table.find("event", "1")
        assert entry is not None
        assert entry.due == world.clock.now + LEASE_MARGIN_S

    play(scene)


def test_a_stopped_dispatcher_leases_nothing() -> None:
    async def scene(world: World) -> None:
        world.put("1")
        await world.begun(1)
        world.dispatcher.stop()
        world.put("2")
        world.started[0][1](Done())
        await world.dispatcher.quiet()
        await asyncio.sleep(0)
        assert (world.usage.waiting, len(world.started)) == (1, 1)

    play(scene)


def test_what_an_earlier_process_left_is_taken_over() -> None:
    async def scene(world: World) -> None:
        world.queue.table.put([make_message("1")], world.clock.now)
        await world.dispatcher.open()
        await world.begun(1)

    play(scene)
