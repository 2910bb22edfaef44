"""The snapshots of a host: made once, found, lost, made again, freed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from tests.unit.worker.test_snapshot_init import Log
from tests.unit.worker.worker_world import SPEC

from lambdad.model.environment import EnvironmentSpec, SnapshotFailure
from lambdad.sandbox.interface import ExitStatus, StartError
from lambdad.sandbox.spec import Exec, Fork, SandboxSpec
from lambdad.telemetry.log import Logger
from lambdad.testing.fake_sandbox import FakeDriver, FakeSnapshot, FakeVolume
from lambdad.testing.waiting import wait_until_async
from lambdad.worker.extension_host import NO_EXTENSIONS, ExtensionPlan
from lambdad.worker.snapshots import SNAPSHOTS_MAX, SnapshotKeeper

DEADLINE_S = 30.0
SNAP = replace(SPEC, version="1", runtime="python3.11", initialization_type="snap-start")


@dataclass
class Provision:
    sandbox_spec: SandboxSpec
    cpus: float
    volume: FakeVolume
    extensions: ExtensionPlan = NO_EXTENSIONS
    released: bool = False

    async def release(self) -> None:
        self.released = True


class World:
    """A keeper with doubles for everything around it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.driver = FakeDriver()
        self.logs: list[Log] = []
        self.provisions: list[Provision] = []
        self.why = ""
        self.extensions = NO_EXTENSIONS
        self.start: Exec | Fork = Fork("python3.11")

        def spawn(work: Coroutine[Any, Any, None]) -> None:
            tasks.create_task(work)

        self.keeper = SnapshotKeeper(self.driver, self, spawn, Logger(logging.getLogger("lambdad.test.snapshots")))

    async def provision(self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float]) -> Provision:
        sandbox = SandboxSpec(start=self.start, memory_bytes=1, cpus=1.0, pids=1, files=1)
        self.provisions.append(Provision(sandbox, 1.0, await self.driver.create_volume(512), self.extensions))
        return self.provisions[-1]

    def init_log(self, spec: EnvironmentSpec) -> Log:
        self.logs.append(Log())
        return self.logs[-1]

    def why_not_forked(self, spec: EnvironmentSpec) -> str:
        return self.why

    async def newest(self, count: int) -> FakeSnapshot:
        await wait_until_async(lambda: len(self.driver.snapshots) >= count, "a snapshot is launched", DEADLINE_S)
        return list(self.driver.snapshots.values())[-1]

    async def made(self, spec: EnvironmentSpec = SNAP) -> FakeSnapshot:
        before = len(self.driver.snapshots)
        making = asyncio.ensure_future(self.keeper.make(spec))  # noqa: TID251
        snapshot = await self.newest(before + 1)
        snapshot.captured.set_result(None)
        assert await making is None
        return snapshot


def with_world(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            world = World(tasks)
            await scenario(world)
            world.keeper.drop_all()
            await world.keeper.drained()
            await world.driver.close()
            assert all(provision.released for provision in world.provisions)
            assert all(log.closed for log in world.logs)

    asyncio.run(run())


def test_a_snapshot_is_made_once_and_found_by_those_that_ask_for_it() -> None:
    async def scenario(world: World) -> None:
        snapshot = await world.made()
        assert snapshot.sealed
        assert await world.keeper.make(SNAP) is None
        assert len(world.provisions) == 1
        assert world.keeper.find(SNAP) is snapshot
        assert world.keeper.find(replace(SNAP, initialization_type="on-demand")) is None
        assert world.keeper.find(replace(SNAP, revision="another")) is None
        assert world.keeper.choose(SNAP) is SNAP

    with_world(scenario)


def test_what_cannot_be_forked_starts_as_all_others_do() -> None:
    async def scenario(world: World) -> None:
        world.why = "it is Node"
        assert await world.keeper.make(SNAP) == SnapshotFailure(code="", reason="it is Node")
        assert world.keeper.choose(SNAP).initialization_type == "on-demand"
        world.driver.why_no_snapshots = "no root"
        assert await world.keeper.make(SNAP) == SnapshotFailure(code="", reason="no root")
        assert world.provisions == []

    with_world(scenario)


def test_a_function_that_is_booted_has_no_snapshot_and_starts_as_all_others() -> None:
    async def scenario(world: World) -> None:
        world.start = Exec(("/var/lang/bin/python3.11",))
        failure = await world.keeper.make(SNAP)
        assert failure is not None and failure.code == "" and "booted" in failure.reason
        assert world.provisions[0].released and world.driver.snapshots == {}

    with_world(scenario)


def test_a_function_with_extensions_has_no_snapshot() -> None:
    async def scenario(world: World) -> None:
        world.extensions = ExtensionPlan(("agent",))
        failure = await world.keeper.make(SNAP)
        assert failure is not None
        assert failure.code == ""
        assert world.driver.snapshots == {}

    with_world(scenario)


def test_a_lost_snapshot_delays_nobody_and_is_made_again() -> None:
    async def scenario(world: World) -> None:
        snapshot = await world.made()
        world.driver.sandboxes[0].exit(ExitStatus(None, 9))
        world.keeper.tick(0.0)
        assert world.keeper.find(SNAP) is None
        await wait_until_async(lambda: snapshot.ended, "the lost one is buried", DEADLINE_S)
        assert world.keeper.choose(SNAP).initialization_type == "on-demand"
        again = await world.newest(1)
        again.captured.set_result(None)
        await wait_until_async(lambda: world.keeper.find(SNAP) is again, "it is there again", DEADLINE_S)

    with_world(scenario)


def test_a_failed_init_phase_is_told_and_not_repeated_at_each_start() -> None:
    async def scenario(world: World) -> None:
        world.driver.failures.append(StartError("Runtime.InvalidEntrypoint", "no such file"))
        failure = await world.keeper.make(SNAP)
        assert failure == SnapshotFailure(code="FunctionError.InvalidEntryPoint", reason="no such file")
        assert world.keeper.choose(SNAP).initialization_type == "on-demand"
        assert len(world.provisions) == 1

    with_world(scenario)


def test_one_that_is_dropped_while_it_is_made_does_not_stay() -> None:
    async def scenario(world: World) -> None:
        making = asyncio.ensure_future(world.keeper.make(SNAP))  # noqa: TID251
        snapshot = await world.newest(1)
        world.keeper.drop(SNAP.key)
        snapshot.captured.set_result(None)
        await making
        assert world.keeper.find(SNAP) is None
        await world.keeper.drained()
        assert snapshot.ended

    with_world(scenario)


def test_idle_ones_rest_and_the_one_used_longest_ago_goes_first() -> None:
    async def scenario(world: World) -> None:
        assert world.keeper.evict() == 0
        first, second = [await world.made(replace(SNAP, revision=str(number))) for number in range(2)]
        world.keeper.find(replace(SNAP, revision="0"))
        world.keeper.tick(float("inf"))
        assert (first.rests, second.rests) == (1, 1)
        assert world.keeper.evict() > 0
        assert world.keeper.find(replace(SNAP, revision="0")) is first
        assert world.keeper.find(replace(SNAP, revision="1")) is None

    with_world(scenario)


def test_there_are_never_more_than_the_limit() -> None:
    async def scenario(world: World) -> None:
        for number in range(SNAPSHOTS_MAX + 1):
            await world.made(replace(SNAP, revision=str(number)))
            await wait_until_async(
                lambda: len(world.driver.snapshots) <= SNAPSHOTS_MAX, "the oldest is gone", DEADLINE_S
            )
        assert world.keeper.find(replace(SNAP, revision="0")) is None

    with_world(scenario)
