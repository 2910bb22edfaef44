"""The collector: what it plans, what it refuses, and that a crash at any step loses nothing."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable

import pytest

from lambdad.chunks.codec import Salt
from lambdad.chunks.gc import (
    Collector,
    CreateRoot,
    DeleteRoot,
    ExpireRoot,
    GcPolicy,
    Hold,
    MigrateManifest,
    Observed,
    RetireRoot,
    describe,
    plan_in_one_go,
    summarize,
)
from lambdad.chunks.interface import ChunkError, ChunkInvalid
from lambdad.chunks.manifest import parse_manifest
from lambdad.chunks.origin import Origin, OriginStore, chunk_path, manifest_path
from lambdad.chunks.roots import Root, RootedStore, RootState, active_root, alarm_path, load_roots, new_root
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.testing.chunk_doubles import MemoryObjects, StepClock

POLICY = GcPolicy(active_s=100, grace_s=10, expired_s=50)
KEY = bytes(32)


class Crash(BaseException):
    """The process died here."""


class World:
    """An origin with images, some of them wanted."""

    def __init__(self) -> None:
        self.objects = MemoryObjects()
        self.clock = StepClock(1000.0)
        self.live: set[str] = set()
        self.collector = Collector(self.objects, self.get_live, POLICY)

    async def get_live(self) -> frozenset[str]:
        return frozenset(self.live)

    async def upload(self, content: bytes) -> str:
        origin = Origin(self.objects, self.clock)
        root = await active_root(self.objects, self.clock.now)
        plan = UploadPlan(salt=Salt(root.id), key=KEY, key_name="k", context="c", chunk_size=4096)
        uploaded = await upload_image(iterate_in_thread([content]), OriginStore(origin, root.id), plan)
        await publish_manifest(origin, root.id, uploaded)
        self.live.add(uploaded.digest)
        return uploaded.digest

    async def collect(self) -> list[str]:
        steps = await self.collector.plan(self.clock.now)
        await self.collector.execute(steps, self.clock.now)
        return [describe(step) for step in steps]

    async def states(self) -> dict[str, RootState]:
        return {root.id: root.state for root in await load_roots(self.objects)}

    async def check(self) -> None:
        """A manifest in a root has all its chunks there; what is wanted is in a root that is not dying."""
        complete: set[str] = set()
        for root, state in (await self.states()).items():
            prefix = f"{root}/manifests/"
            for path, data in list(self.objects.contents.items()):
                if path.startswith(prefix) and state is not RootState.DELETING:
                    for name in parse_manifest(data).names():
                        assert chunk_path(root, name) in self.objects.contents
                    if state in (RootState.ACTIVE, RootState.RETIRED):
                        complete.add(path.removeprefix(prefix))
        assert self.live <= complete


def content(number: int) -> bytes:
    return bytes([number]) * 4096 + os.urandom(8000)


def crash_at(number: int) -> Callable[[str, str], None]:
    """For `MemoryObjects.before`: the change with this number, from 1, does not happen; those behind it do."""
    numbers = itertools.count(1)

    def before(operation: str, path: str) -> None:
        if operation in ("put", "create", "delete") and next(numbers) == number:
            raise Crash

    return before


def test_a_generation_lives_moves_and_dies() -> None:
    async def run() -> None:
        world = World()
        wanted, unwanted = await world.upload(content(1)), await world.upload(content(2))
        world.live.remove(unwanted)
        (old,) = await world.states()
        assert await world.collect() == []

        world.clock.advance(100)
        assert [line.split()[0] for line in await world.collect()] == ["create", "retire"]
        (new,) = set(await world.states()) - {old}
        assert await world.states() == {old: RootState.RETIRED, new: RootState.ACTIVE}

        lines = await world.collect()
        assert lines[0] == f"copy manifest {wanted[:16]} and its chunks from {old} to {new}"
        assert "uploads into it may still end" in lines[1]
        assert manifest_path(new, wanted) in world.objects.contents
        assert manifest_path(new, unwanted) not in world.objects.contents

        world.clock.advance(10)
        assert await world.collect() == [f"expire root {old}: everything wanted is elsewhere"]
        world.clock.advance(49)
        assert "watched for reads" in (await world.collect())[0]
        world.clock.advance(1)
        assert await world.collect() == [f"delete root {old} and all in it"]
        assert await world.states() == {new: RootState.ACTIVE}
        assert not any(path.startswith(f"{old}/") for path in world.objects.contents)
        await world.check()

    asyncio.run(run())


def test_a_read_of_an_expired_root_stops_its_deletion_until_the_alarm_is_removed() -> None:
    async def run() -> None:
        world = World()
        digest = await world.upload(content(1))
        (old,) = await world.states()
        name = next(parse_manifest(world.objects.contents[manifest_path(old, digest)]).names())
        world.live.clear()
        for seconds in (100, 10, 5):
            world.clock.advance(seconds)
            await world.collect()
        assert (await world.states())[old] is RootState.EXPIRED
        store = RootedStore(Origin(world.objects, world.clock), world.clock)
        await store.get(name)
        assert alarm_path(old) in world.objects.contents
        world.clock.advance(1000)
        lines = await world.collect()
        assert any("read after it expired" in line for line in lines)
        assert (await world.states())[old] is RootState.EXPIRED
        await world.objects.delete(alarm_path(old))
        await world.collect()
        assert old not in await world.states()

    asyncio.run(run())


def test_an_alarm_in_the_middle_of_a_deletion_stops_it() -> None:
    async def run() -> None:
        world = World()
        await world.upload(content(1))
        (old,) = await world.states()
        world.live.clear()
        world.objects.contents[alarm_path(old)] = b"{}"
        for seconds in (100, 10):
            world.clock.advance(seconds)
            await world.collect()
        with pytest.raises(ChunkError, match="deletion stopped"):
            await world.collector.execute([DeleteRoot(old)], world.clock.now)
        assert any(path.startswith(f"{old}/chunks/") for path in world.objects.contents)

    asyncio.run(run())


def test_a_wanted_manifest_that_is_nowhere_holds_everything() -> None:
    async def run() -> None:
        world = World()
        await world.upload(content(1))
        world.clock.advance(200)
        await world.collect()
        world.clock.advance(200)
        world.live.add("f" * 64)
        steps = await world.collector.plan(world.clock.now)
        assert any(isinstance(step, Hold) and not step.root for step in steps)
        assert not any(isinstance(step, (ExpireRoot, DeleteRoot)) for step in steps)

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["lost", "wrong"])
def test_a_damaged_chunk_is_never_copied_and_its_root_never_expires(damage: str) -> None:
    async def run() -> None:
        world = World()
        digest = await world.upload(content(1))
        (old,) = await world.states()
        name = next(parse_manifest(world.objects.contents[manifest_path(old, digest)]).names())
        if damage == "lost":
            del world.objects.contents[chunk_path(old, name)]
        else:
            world.objects.contents[chunk_path(old, name)] = b"?"
        world.clock.advance(100)
        await world.collect()
        for _ in range(3):
            world.clock.advance(100)
            with pytest.raises(ChunkError if damage == "lost" else ChunkInvalid):
                await world.collect()
            assert (await world.states())[old] is RootState.RETIRED

    asyncio.run(run())


def test_what_became_wanted_after_the_plan_does_not_expire() -> None:
    async def run() -> None:
        world = World()
        digest = await world.upload(content(1))
        (old,) = await world.states()
        world.live.clear()
        world.clock.advance(100)
        await world.collect()
        world.clock.advance(100)
        steps = await world.collector.plan(world.clock.now)
        assert ExpireRoot(old) in steps
        world.live.add(digest)
        await world.collector.execute(steps, world.clock.now)
        assert (await world.states())[old] is RootState.RETIRED
        await world.check()

    asyncio.run(run())


def test_an_upload_that_was_under_way_when_its_root_was_retired_is_kept() -> None:
    async def run() -> None:
        world = World()
        await world.upload(content(1))
        (old,) = await world.states()
        origin = Origin(world.objects, world.clock)
        plan = UploadPlan(salt=Salt(old), key=KEY, key_name="k", context="c", chunk_size=4096)
        uploaded = await upload_image(iterate_in_thread([content(3)]), OriginStore(origin, old), plan)
        world.clock.advance(100)
        await world.collect()
        await publish_manifest(origin, old, uploaded)
        world.live.add(uploaded.digest)
        for _ in range(4):
            world.clock.advance(60)
            await world.collect()
            await world.check()
        assert old not in await world.states()

    asyncio.run(run())


def test_a_crash_at_any_step_of_any_run_loses_nothing_and_the_next_run_goes_on() -> None:
    async def run_until(number: int) -> bool:
        """Whether the crash came."""
        world = World()
        for image in range(2):
            await world.upload(content(image))
        world.live.remove(await world.upload(content(9)))
        before, crashed = crash_at(number), False
        for _ in range(12):
            world.clock.advance(30)
            world.objects.before = before
            try:
                await world.collect()
            except Crash:
                crashed = True
            world.objects.before = None
            await world.check()
        assert list((await world.states()).values()).count(RootState.ACTIVE) >= 1
        return crashed

    async def run() -> None:
        number = 1
        while await run_until(number):
            number += 1
        assert number > 30

    asyncio.run(run())


OLD, YOUNG = "r00000000005", "r00000000009"


def test_in_one_go_what_is_wanted_is_copied_once_before_anything_ends() -> None:
    roots = (Root(YOUNG, RootState.ACTIVE, 9.0), Root(OLD, RootState.EXPIRED, 5.0))
    observed = Observed(roots, {YOUNG: frozenset({"m", "n"}), OLD: frozenset({"m", "o"})}, frozenset())
    steps = plan_in_one_go(observed, frozenset({"m"}), 3.0)  # the clock went back
    target = "r00000000010"
    assert steps == (
        CreateRoot(Root(target, RootState.ACTIVE, 10)),
        RetireRoot(YOUNG),
        MigrateManifest("m", YOUNG, target),
        ExpireRoot(YOUNG),
        DeleteRoot(YOUNG),
        DeleteRoot(OLD),
    )


def test_in_one_go_a_root_with_an_alarm_stays_and_a_lost_manifest_holds_everything() -> None:
    observed = Observed((Root(OLD, RootState.EXPIRED, 5.0),), {OLD: frozenset({"m"})}, frozenset({OLD}))
    steps = plan_in_one_go(observed, frozenset({"m"}), 100.0)
    assert [type(step) for step in steps] == [CreateRoot, MigrateManifest, Hold]
    (held,) = plan_in_one_go(observed, frozenset({"m", "x"}), 100.0)
    assert isinstance(held, Hold)
    assert "1 wanted manifests are in no root, x among them" in held.reason


def test_in_one_go_waste_is_gone_and_a_tidy_store_is_left_alone() -> None:
    async def run() -> None:
        world = World()
        assert await world.collector.plan_at_once(1.0) == ()
        wanted = await world.upload(content(1))
        assert await world.collector.plan_at_once(2000.0) == ()
        world.live.remove(await world.upload(content(9)))
        before = len(world.objects.contents)
        await world.collector.execute(await world.collector.plan_at_once(2000.0), 2000.0)
        assert len(world.objects.contents) < before
        assert await world.collector.plan_at_once(3000.0) == ()
        assert list((await world.states()).values()) == [RootState.ACTIVE]
        await world.check()
        world.live = {wanted, "0" * 64}
        (held,) = await world.collector.plan_at_once(4000.0)
        assert isinstance(held, Hold)
        world.live = {wanted}
        damaged = next(path for path in world.objects.contents if path.endswith(f"/manifests/{wanted}"))
        world.objects.contents[damaged] = b"x"
        with pytest.raises(ChunkError, match="is damaged"):
            await world.collector.plan_at_once(4000.0)

    asyncio.run(run())


def test_in_one_go_a_crash_at_any_step_loses_nothing_and_the_next_run_goes_on() -> None:
    async def run_until(number: int) -> bool:
        """Whether the crash came."""
        world = World()
        for image in range(2):
            await world.upload(content(image))
        world.live.remove(await world.upload(content(9)))
        before, crashed = crash_at(number), False
        for now in (2000.0, 3000.0):
            steps = await world.collector.plan_at_once(now)
            world.objects.before = before
            try:
                await world.collector.execute(steps, now)
            except Crash:
                crashed = True
            world.objects.before = None
            await world.check()
        assert await world.collector.plan_at_once(4000.0) == ()
        return crashed

    async def run() -> None:
        number = 1
        while await run_until(number):
            number += 1
        assert number > 20

    asyncio.run(run())


def test_a_summary_counts_manifests_and_names_none() -> None:
    steps = (RetireRoot("r1"), *(MigrateManifest(digest * 64, "r1", "r2") for digest in "ab"), ExpireRoot("r1"))
    assert summarize(steps) == [
        "retire root r1: no new uploads",
        "copy 2 wanted manifests and their chunks from r1 to r2",
        "expire root r1: everything wanted is elsewhere",
    ]


def test_every_step_can_be_told() -> None:
    assert describe(RetireRoot("r1")) == "retire root r1: no new uploads"
    assert describe(Hold("", "why")) == "leave everything: why"
    assert "create root" in describe(CreateRoot(new_root(1.0)))
    assert "copy manifest" in describe(MigrateManifest("a" * 64, "r1", "r2"))
