"""The whole read path put together: origin → cache nodes → disk → memory, as one object that opens images.

Used by the agent and by every tool that reads an image without one (`image serve`, `image verify`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from lambdad.block.interface import BlockError
from lambdad.block.messages import Configure
from lambdad.block.plain_cache import PlainCache
from lambdad.block.reader import ImageReader
from lambdad.block.trace import TraceEntry, TraceInvalid, encode_trace, parse_trace
from lambdad.chunks.background import running
from lambdad.chunks.cache_nodes import CacheNodes, open_cache_nodes
from lambdad.chunks.disk import open_disk_store
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.limited import StartGate
from lambdad.chunks.manifest import Manifest, ManifestInvalid, open_manifest
from lambdad.chunks.objects import DirectoryObjects, ObjectMissing, Objects, open_s3
from lambdad.chunks.origin import Origin, OriginLimits
from lambdad.chunks.roots import RootedStore, RootState, load_roots
from lambdad.chunks.s3_credentials import GivenKeys
from lambdad.chunks.single_flight import SingleFlightStore
from lambdad.chunks.upload import fetch_manifest
from lambdad.chunks.verified import Filler, Role, Tier, Trust, VerifiedStore
from lambdad.model.clock import Clock


def open_objects(config: Configure) -> Objects:
    """The origin's objects. Raises BlockError if none is configured."""
    if config.origin_directory:
        return DirectoryObjects(Path(config.origin_directory))
    if not config.bucket:
        raise BlockError("no origin: configure a directory or a bucket")
    return open_s3(
        config.bucket,
        endpoint=config.endpoint or None,
        region=config.region,
        prefix=config.prefix or None,
        keys=_keys(config),
    )


def _keys(config: Configure) -> GivenKeys | None:
    if not config.access_key_id:
        return None
    return GivenKeys(config.access_key_id, config.secret_access_key, config.session_token)


class ReadPath:
    """Reads images. Make one with `open_read_path`."""

    def __init__(
        self,
        origin: Origin,
        rooted: RootedStore,
        store: VerifiedStore,
        cache: PlainCache,
        filler: Filler,
        gate: StartGate,
    ) -> None:
        self.origin = origin
        self._rooted = rooted
        self.store = store
        self.filler = filler
        self.gate = gate
        self._cache = cache

    def open_image(self, data: bytes, key: bytes, digest: str | None) -> ImageReader:
        """A reader of a manifest. Raises `ManifestInvalid`."""
        return ImageReader(open_manifest(data, key, digest=digest), self._cache)

    async def fetch_image(self, digest: str, key: bytes) -> ImageReader:
        """A reader of a manifest at the origin. Raises `BlockError`."""
        try:
            data = await fetch_manifest(self.origin, await self._roots(), digest)
            return self.open_image(data, key, digest)
        except (ObjectMissing, ManifestInvalid, ChunkError) as error:
            raise BlockError(f"manifest {digest}: {error}") from error

    async def load_trace(self, manifest: Manifest) -> tuple[TraceEntry, ...]:
        """What the last recorded start read; empty if none was, or nothing can be had: it is only a hint."""
        digest = manifest.index.digest
        with contextlib.suppress(ChunkError):
            for root in await self._rooted.readable_roots():
                with contextlib.suppress(ObjectMissing, TraceInvalid):
                    data = await self.origin.get(_trace_path(root, digest))
                    return parse_trace(data, digest, manifest.shape.positions)
        return ()

    async def save_trace(self, manifest: Manifest, entries: tuple[TraceEntry, ...]) -> None:
        """For every worker. Raises `ChunkError`."""
        roots = await self._roots()
        if roots:
            digest = manifest.index.digest
            await self.origin.put(_trace_path(roots[0], digest), encode_trace(entries, digest))

    async def _roots(self) -> list[str]:
        readable = (RootState.ACTIVE, RootState.RETIRED)
        return [root.id for root in await load_roots(self.origin.objects) if root.state in readable]


@contextlib.asynccontextmanager
async def open_read_path(
    config: Configure, clock: Clock, objects: Objects | None = None, limits: OriginLimits | None = None
) -> AsyncIterator[ReadPath]:
    """Open every tier, run the filling of caches, close all at the end. Raises `ChunkError`, `BlockError`.

    objects: instead of the configured origin, closed at the end as well.
    """
    origin = Origin(objects or open_objects(config), clock, limits)
    async with contextlib.AsyncExitStack() as stack:
        tiers = []
        if config.cache_directory:
            disk = await open_disk_store(Path(config.cache_directory), config.cache_bytes, clock)
            stack.push_async_callback(disk.close)
            tiers.append(Tier("disk", disk, trust=Trust.ITSELF))
        if config.nodes:
            tiers.append(Tier("nodes", await stack.enter_async_context(_open_nodes(config, clock))))
        rooted = RootedStore(origin, clock)
        tiers.append(Tier("origin", rooted, role=Role.SOURCE))
        stack.push_async_callback(origin.objects.close)
        filler = Filler()
        store = VerifiedStore(tiers, filler)
        cache = PlainCache(SingleFlightStore(store), config.memory_bytes, clock)
        gate = StartGate(config.starts, lambda: origin.pressure)
        await stack.enter_async_context(running(filler.run))
        yield ReadPath(origin, rooted, store, cache, filler, gate)


def _open_nodes(config: Configure, clock: Clock) -> contextlib.AbstractAsyncContextManager[CacheNodes]:
    return open_cache_nodes(config.nodes, clock, authority=config.node_authority)


def _trace_path(root: str, digest: str) -> str:
    return f"{root}/traces/{digest}"
