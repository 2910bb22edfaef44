"""Images of functions as directories: the worker's side.

An image is mounted once for all its sandboxes, through FUSE, and its chunks are fetched as its files are read.
`image_builder` made the manifest and the chunks.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from lambdad.block.interface import BlockError
from lambdad.block.messages import Configure
from lambdad.block.mount import ImageMounts, MountedImage
from lambdad.block.service import BlockService
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.keys import KeyRing, KeyUnavailable
from lambdad.chunks.manifest import ManifestInvalid
from lambdad.chunks.objects import DirectoryObjects
from lambdad.chunks.origin import Origin
from lambdad.chunks.roots import load_roots
from lambdad.chunks.upload import fetch_manifest
from lambdad.model.arn import function_arn
from lambdad.model.clock import Clock
from lambdad.model.environment import EnvironmentSpec
from lambdad.node.paths import Paths
from lambdad.worker.environment_driver import ProvisionError

KEPT_MOUNTED = 32
"""Images that stay mounted when no sandbox uses them: their next cold start reads from memory."""


class WorkerImages:
    """The images that this worker has mounted. Needs root. `open` first, `close` last."""

    def __init__(self, paths: Paths, clock: Clock) -> None:
        self._ring = KeyRing(paths.keys)
        self._origin = Origin(DirectoryObjects(paths.chunks), clock)
        self._service = BlockService(
            Configure(origin_directory=str(paths.chunks), cache_directory="", memory_bytes=256 * 1024**2)
        )
        self._mounts = ImageMounts(paths.worker, self._service)
        self._kept: OrderedDict[str, MountedImage] = OrderedDict()
        self._started = False
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Take away what an earlier worker left. The block service starts with the first image."""
        await self._mounts.recover()

    async def acquire(self, spec: EnvironmentSpec) -> MountedImage:
        """The image of a function as a directory, until `release`. Raises `ProvisionError`."""
        assert spec.image is not None
        digest = spec.image.manifest_sha256
        owner = function_arn(spec.namespace, spec.function_name)
        try:
            async with self._lock:
                if not self._started:
                    await self._service.start()
                    self._started = True
            key = await asyncio.to_thread(self._ring.get, owner)
            roots = [root.id for root in await load_roots(self._origin.objects)]
            manifest = await fetch_manifest(self._origin, roots, digest)
            image = await self._mounts.mount_image(manifest, key, digest)
            await self._keep(manifest, key, digest)
        except (KeyUnavailable, ManifestInvalid, ChunkError, BlockError, OSError) as error:
            raise ProvisionError("ServiceException", f"The image of the function cannot be mounted: {error}") from error
        return image

    async def release(self, image: MountedImage) -> None:
        await self._mounts.release(image)

    def first_start_is_over(self, image: MountedImage) -> None:
        """What was read until now is what the next worker reads ahead."""
        self._mounts.started(image)

    async def _keep(self, manifest: bytes, key: bytes, digest: str) -> None:
        """Hold the image mounted beside its users, and let go of the one that was used longest ago."""
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return
        self._kept[digest] = await self._mounts.mount_image(manifest, key, digest)
        if len(self._kept) > KEPT_MOUNTED:
            _, oldest = self._kept.popitem(last=False)
            await self._mounts.release(oldest)

    async def close(self) -> None:
        self._kept.clear()
        await self._mounts.close()
        await self._service.close()
