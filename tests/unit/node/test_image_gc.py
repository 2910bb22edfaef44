"""The node's collector: what no function needs goes, what one needs stays, another node's store is left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambdad.chunks.codec import Salt
from lambdad.chunks.gc import GcPolicy
from lambdad.chunks.origin import Origin, OriginStore, manifest_path
from lambdad.chunks.roots import active_root, load_roots
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.model.environment import EnvironmentSpec, Image
from lambdad.node.image_gc import ImageCollection, StoreOfAnother, node_name
from lambdad.telemetry.log import silent
from lambdad.testing.chunk_doubles import MemoryObjects, StepClock
from lambdad.testing.specs import make_spec

POLICY = GcPolicy(active_s=100, grace_s=10, expired_s=50)


class World:
    def __init__(self) -> None:
        self.objects = MemoryObjects()
        self.clock = StepClock(1000.0)
        self.specs: list[EnvironmentSpec] = [make_spec()]

    def collection(self, name: str = "this") -> ImageCollection:
        log = silent()
        return ImageCollection(self.objects, name, lambda: iter(self.specs), self.clock, log, POLICY)

    async def upload(self, content: bytes) -> str:
        origin = Origin(self.objects, self.clock)
        root = await active_root(self.objects, self.clock.now)
        plan = UploadPlan(salt=Salt(root.id), key=bytes(32), key_name="k", context="c", chunk_size=4096)
        uploaded = await upload_image(iterate_in_thread([content]), OriginStore(origin, root.id), plan)
        await publish_manifest(origin, root.id, uploaded)
        return uploaded.digest

    async def is_kept(self, digest: str) -> bool:
        roots = await load_roots(self.objects)
        return any([await self.objects.head(manifest_path(root.id, digest)) is not None for root in roots])

    async def live(self, collection: ImageCollection) -> None:
        """Collect for longer than any root lives."""
        for _ in range(8):
            self.clock.now += 60
            await collection.collect()


def use(digest: str) -> EnvironmentSpec:
    return make_spec(runtime=None, image=Image(uri="i", resolved_uri="i", manifest_sha256=digest))


def test_images_of_functions_are_kept_and_others_deleted() -> None:
    async def run() -> None:
        world = World()
        wanted, unwanted = await world.upload(b"wanted" * 5000), await world.upload(b"waste" * 5000)
        world.specs.append(use(wanted))
        await world.live(world.collection())
        assert await world.is_kept(wanted)
        assert not await world.is_kept(unwanted)

    asyncio.run(run())


def test_a_second_node_on_the_store_deletes_nothing_of_the_first() -> None:
    async def run() -> None:
        world = World()
        wanted = await world.upload(b"wanted" * 5000)
        world.specs.append(use(wanted))
        await world.collection("first").collect()
        world.specs.clear()
        second = world.collection("second")
        for asked in (second.collect, second.plan, second.plan_at_once):
            with pytest.raises(StoreOfAnother, match="another node"):
                await asked()
        assert await world.is_kept(wanted)

    asyncio.run(run())


def test_a_store_without_images_is_left_alone() -> None:
    async def run() -> None:
        world = World()
        await world.collection().collect()
        assert [path async for path in world.objects.list("roots")] == []

    asyncio.run(run())


def test_in_one_go_everything_that_no_function_needs_is_gone() -> None:
    async def run() -> None:
        world = World()
        wanted, unwanted = await world.upload(b"wanted" * 5000), await world.upload(b"waste" * 5000)
        world.specs.append(use(wanted))
        collection = world.collection()
        counts = await collection.execute(await collection.plan_at_once())
        assert counts.deleted_objects > 0
        assert await world.is_kept(wanted)
        assert not await world.is_kept(unwanted)
        assert await collection.plan_at_once() == ()

    asyncio.run(run())


def test_a_plan_changes_nothing() -> None:
    async def run() -> None:
        world = World()
        await world.upload(b"waste" * 5000)
        world.clock.now += 1000
        before = dict(world.objects.contents)
        assert await world.collection().plan()
        assert {**before, "owner": b"this"} == world.objects.contents

    asyncio.run(run())


def test_a_node_keeps_its_name(tmp_path: Path) -> None:
    name = node_name(tmp_path / "name")
    assert name
    assert node_name(tmp_path / "name") == name
    assert node_name(tmp_path / "other") != name
