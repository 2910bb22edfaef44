"""Images of functions as directories: the worker's side.

An image is mounted once for all its sandboxes, through FUSE, and its chunks are fetched as its files are read.
`image_builder` made the manifest and the chunks. When the block service is lost (its supervisor was killed, or its
agent died again and again), the sandboxes on it are ended; the next start of an image starts a new service.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from lambdad.block.interface import BlockError
from lambdad.block.messages import Configure
from lambdad.block.mount import ImageMounts, MountedImage, remove_leftovers
from lambdad.block.read_path import open_objects
from lambdad.block.service import BlockService
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.keys import KeyRing, KeyUnavailable
from lambdad.chunks.manifest import ManifestInvalid
from lambdad.chunks.objects import ObjectMissing
from lambdad.chunks.origin import Origin
from lambdad.chunks.roots import load_roots
from lambdad.chunks.upload import fetch_manifest
from lambdad.model.arn import function_arn
from lambdad.model.clock import Clock
from lambdad.model.environment import EnvironmentSpec
from lambdad.node.paths import Paths
from lambdad.worker.environment_driver import ProvisionError

_log = logging.getLogger(__name__)

KEPT_MOUNTED = 32
"""Images that stay mounted when no sandbox uses them: their next cold start reads from memory."""


class _Generation:
    """One block service and what is mounted through it."""

    def __init__(self, directory: Path, config: Configure) -> None:
        self.directory = directory
        self.service = BlockService(config)
        self.mounts = ImageMounts(directory, self.service)
        self._kept: OrderedDict[str, MountedImage] = OrderedDict()
        self._wanted_by: dict[str, set[str]] = {}
        """Digest of a kept image → keys of the specs that it is kept for."""

    async def mount(self, manifest: bytes, key: bytes, digest: str, spec_key: str) -> MountedImage:
        image = await self.mounts.mount_image(manifest, key, digest)
        try:
            await self._keep(manifest, key, digest)
            if digest in self._kept:
                self._wanted_by.setdefault(digest, set()).add(spec_key)
        except BaseException:
            await asyncio.shield(self.mounts.release(image))
            raise
        return image

    async def _keep(self, manifest: bytes, key: bytes, digest: str) -> None:
        """Hold the image mounted beside its users, and let go of the one that was used longest ago."""
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return
        image = await self.mounts.mount_image(manifest, key, digest)
        if digest in self._kept:  # another start of the same image was faster
            await self.mounts.release(image)
            return
        self._kept[digest] = image
        if len(self._kept) > KEPT_MOUNTED:
            forgotten, oldest = self._kept.popitem(last=False)
            self._wanted_by.pop(forgotten, None)
            await self.mounts.release(oldest)

    async def forget(self, spec_key: str) -> None:
        """An image that was kept for this spec alone is kept no more."""
        for digest, wanted_by in list(self._wanted_by.items()):
            wanted_by.discard(spec_key)
            if not wanted_by:
                del self._wanted_by[digest]
                image = self._kept.pop(digest, None)
                if image is not None:
                    await self.mounts.release(image)

    async def close(self) -> None:
        self._kept.clear()
        self._wanted_by.clear()
        await self.mounts.close()
        await self.service.close()
        await asyncio.to_thread(remove_leftovers, self.directory)


class WorkerImages:
    """The images that this worker has mounted. Needs root. `open` first, `close` last."""

    def __init__(self, paths: Paths, tiers: Configure, clock: Clock) -> None:
        self._ring = KeyRing(paths.keys)
        self._tiers = tiers
        self._origin = Origin(open_objects(tiers), clock)
        self._directory = paths.worker / "images"
        self._generation: _Generation | None = None
        self._generations = 0
        self._lock = asyncio.Lock()
        self.on_lost: Callable[[], None] | None = None
        """Called when the sandboxes that run from images have lost their files."""

    async def open(self) -> None:
        """Take away what an earlier worker left. The block service starts with the first image."""
        await asyncio.to_thread(remove_leftovers, self._directory)

    async def acquire(self, spec: EnvironmentSpec) -> MountedImage:
        """The image of a function as a directory, until `release`. Raises `ProvisionError`."""
        assert spec.image is not None
        digest = spec.image.manifest_sha256
        owner = function_arn(spec.namespace, spec.function_name)
        try:
            generation = await self._serving()
            key = await asyncio.to_thread(self._ring.get, owner)
            roots = [root.id for root in await load_roots(self._origin.objects)]
            manifest = await fetch_manifest(self._origin, roots, digest)
            return await generation.mount(manifest, key, digest, spec.key)
        except (KeyUnavailable, ManifestInvalid, ObjectMissing, ChunkError, BlockError, OSError) as error:
            raise ProvisionError("ServiceException", f"The image of the function cannot be mounted: {error}") from error

    async def release(self, image: MountedImage) -> None:
        generation = self._generation
        if generation is not None and image.root.is_relative_to(generation.directory):
            await generation.mounts.release(image)

    async def forget(self, spec_key: str) -> None:
        """Nobody has called the function for long: its image is unmounted, and read again from the store if need be."""
        if self._generation is not None:
            await self._generation.forget(spec_key)

    def first_start_is_over(self, image: MountedImage) -> None:
        """What was read until now is what the next worker reads ahead."""
        generation = self._generation
        if generation is not None and image.root.is_relative_to(generation.directory):
            generation.mounts.started(image)

    async def _serving(self) -> _Generation:
        """The generation whose block service is alive, a new one if there is none. Raises `BlockError`, OSError."""
        async with self._lock:
            lost = self._generation
            if lost is not None and lost.service.lost:
                _log.error("action=block_service_replaced reason=%s", lost.service.lost)
                self._generation = None
                await lost.close()
            if self._generation is None:
                self._generations += 1
                generation = _Generation(self._directory / f"g{self._generations}", self._tiers)
                generation.service.on_lost = self._lost
                await generation.service.start()
                self._generation = generation
            return self._generation

    def _lost(self) -> None:
        if self.on_lost is not None:
            self.on_lost()

    async def close(self) -> None:
        async with self._lock:
            if self._generation is not None:
                await self._generation.close()
                self._generation = None
        await self._origin.objects.close()
