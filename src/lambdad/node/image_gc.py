"""The collector of the node's chunk store: on a schedule and by request in the API process, and of a node that stands.

It works on a store that belongs to this node alone: the first node to use a store leaves its name there, and another
node never collects it, because it would take the first one's images for waste.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from lambdad.chunks.files import write_atomically
from lambdad.chunks.gc import Collector, GcCounts, GcPolicy, Hold, Step, describe
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.objects import ObjectMissing, Objects
from lambdad.chunks.roots import load_roots
from lambdad.model.clock import Clock
from lambdad.model.environment import EnvironmentSpec
from lambdad.telemetry.log import Logger

OWNER_PATH = "owner"


class StoreOfAnother(ChunkError):
    """The store has images of another node, which this one must not take for waste."""


def node_name(path: Path) -> str:
    """The name of this node, made at its first start and kept in a file."""
    if not path.exists():
        write_atomically(path, uuid.uuid4().hex.encode(), mode=0o600)
    return path.read_text()


class ImageCollection:
    """Collects what no function needs. specs: of everything that can run, asked again for every decision."""

    def __init__(
        self,
        objects: Objects,
        name: str,
        specs: Callable[[], Iterable[EnvironmentSpec]],
        clock: Clock,
        log: Logger,
        policy: GcPolicy | None = None,
    ) -> None:
        self._objects = objects
        self._name = name
        self._specs = specs
        self._clock = clock
        self._log = log
        self._policy = policy or GcPolicy()
        self._busy = asyncio.Lock()

    async def run(self, interval_s: float) -> None:
        """Collect now and then until cancelled. interval_s: seconds between two collections."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.collect()
            except StoreOfAnother as error:
                self._log.error("image_gc.refused", reason=str(error))
            except (ChunkError, OSError) as error:
                # The next collection begins again from what it finds.
                self._log.error("image_gc.failed", error=str(error))

    async def plan(self) -> tuple[Step, ...]:
        """What a collection would do now. Raises `StoreOfAnother`, `ChunkError`, OSError."""
        return await self._collector().plan(self._clock.time()) if await self._has_images() else ()

    async def collect(self) -> tuple[tuple[Step, ...], GcCounts]:
        """One collection: observe, plan, log the plan, execute it. One at a time. Raises as `plan`."""
        async with self._busy:
            collector = self._collector()
            steps = await collector.plan(self._clock.time()) if await self._has_images() else ()
            await self._execute(collector, steps)
            return steps, collector.counts

    async def plan_at_once(self) -> tuple[Step, ...]:
        """What frees everything unneeded in one go: only if no node uses the store until that is over."""
        return await self._collector().plan_at_once(self._clock.time()) if await self._has_images() else ()

    async def execute(self, steps: tuple[Step, ...]) -> GcCounts:
        """What `plan_at_once` said. After a crash or an error a new plan goes on from there."""
        collector = self._collector()
        await self._execute(collector, steps)
        return collector.counts

    def _collector(self) -> Collector:
        return Collector(self._objects, self._wanted, self._policy)

    async def _execute(self, collector: Collector, steps: tuple[Step, ...]) -> None:
        for step in steps:
            (self._log.debug if isinstance(step, Hold) else self._log.info)("image_gc.step", what=describe(step))
        await collector.execute(steps, self._clock.time())
        counts = collector.counts
        if counts.copied_chunks or counts.deleted_objects:
            self._log.info("image_gc.done", copied_chunks=counts.copied_chunks, deleted=counts.deleted_objects)

    async def _has_images(self) -> bool:
        """Whether there is anything at all, and it is ours."""
        if not await load_roots(self._objects):
            return False
        if not await self._is_ours():
            raise StoreOfAnother("another node uses this chunk store: give each its own prefix")
        return True

    async def _wanted(self) -> frozenset[str]:
        return frozenset(spec.image.manifest_sha256 for spec in self._specs() if spec.image is not None)

    async def _is_ours(self) -> bool:
        if await self._objects.create(OWNER_PATH, self._name.encode()):
            return True
        try:
            return await self._objects.get(OWNER_PATH) == self._name.encode()
        except ObjectMissing:  # taken away this moment
            return False
