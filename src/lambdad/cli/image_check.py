"""Checking and collecting a local store: every chunk read, everything unneeded planned away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lambdad.chunks.gc import Collector, GcPolicy, Hold, Step
from lambdad.chunks.interface import ChunkError, ChunkInvalid, name_of
from lambdad.chunks.manifest import Row
from lambdad.chunks.origin import OriginStore, manifest_path
from lambdad.chunks.roots import load_roots
from lambdad.cli.errors import CliError
from lambdad.cli.image_store import ImageStore
from lambdad.cli.image_usage import Amount

_AT_ONCE = 8


async def verify_chunks(images: ImageStore, name: str) -> tuple[Amount, list[str]]:
    """Read each different chunk of an image once, in the root of its manifest: what was read, and what is wrong.

    Raises `ManifestInvalid`, `ObjectMissing`, `KeyUnavailable` if the manifest itself cannot be had.
    """
    manifest = await images.manifest(name)
    digest = manifest.index.digest
    for root in await load_roots(images.origin.objects):
        if await images.origin.head(manifest_path(root.id, digest)) is not None:
            break
    else:
        raise CliError(f"the manifest of {name} vanished while it was being verified")
    store = OriginStore(images.origin, root.id)
    rows = list({row.name: row for row in manifest.rows()}.values())
    broken: list[str] = []
    slots = asyncio.Semaphore(_AT_ONCE)

    async def check(row: Row) -> None:
        async with slots:
            try:
                data = await store.get(row.name)
                if await asyncio.to_thread(name_of, data) != row.name:
                    raise ChunkInvalid(row.name, f"root {root.id}", "the hash of the bytes is not the name")
                if len(data) != row.length:
                    raise ChunkInvalid(row.name, f"root {root.id}", f"{len(data)} bytes instead of {row.length}")
            except ChunkError as error:
                broken.append(f"position {row.position}: {error}")

    for start in range(0, len(rows), 256):
        async with asyncio.TaskGroup() as group:
            for row in rows[start : start + 256]:
                group.create_task(check(row))
    return Amount(len(rows), sum(row.length for row in rows)), sorted(broken)


@dataclass(frozen=True, slots=True)
class LocalCollection:
    """steps: empty if there is nothing to free. Execute it under the same lock under which it was planned."""

    steps: tuple[Step, ...]
    collector: Collector
    now: float

    async def execute(self) -> None:
        """Raises `ChunkError`; what was wanted is where it was, and a new plan goes on from there."""
        await self.collector.execute(self.steps, self.now)


async def plan_local_collection(images: ImageStore, now: float) -> LocalCollection:
    """What frees everything that no image needs, all in one go. The caller holds the exclusive lock.

    A store of one person has no uploads or readers beside the collector (the lock sees to that), so that roots need no
    time between their states: what is wanted is copied to a new root, the old ones end.
    """
    live = frozenset(record.manifest for record in images.records().values())

    async def still() -> frozenset[str]:
        return live

    collector = Collector(images.origin.objects, still, GcPolicy())
    steps = await collector.plan_at_once(now)
    for step in steps:
        if isinstance(step, Hold) and not step.root:
            raise CliError(f"{step.reason}: `verify` the images, pull them again")
    return LocalCollection(steps, collector, now)


def stored_bytes(images: ImageStore) -> int:
    """Bytes of everything in the store's chunk directory."""
    return sum(path.stat().st_size for path in images.chunks.rglob("*") if path.is_file())
