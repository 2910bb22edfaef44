"""Many cold starts at once against real cache nodes, and ways to make these nodes fail: for tests and benchmarks.

A cold start is here what it costs the chunk tiers: a reader with an empty memory reads an image that nobody else reads,
from its first byte to its last. Images are random bytes, so that no chunk is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from lambdad.block.messages import Configure
from lambdad.block.read_path import ReadPath, open_read_path
from lambdad.chunks.codec import Salt
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.chunks.roots import active_root
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.model.clock import SystemClock
from lambdad.testing.chunk_doubles import MemoryObjects

KEY = bytes(range(32))
CHUNK_SIZE = 64 * 1024
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class ColdImage:
    digest: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Starts:
    """seconds: of each start. failed: what went wrong, a text each. origin_reads: chunks that the origin gave."""

    seconds: tuple[float, ...]
    failed: tuple[str, ...]
    origin_reads: int


class ColdStarts:
    """An origin with images. Make one with `make_cold_starts`."""

    def __init__(self, objects: MemoryObjects, images: Sequence[ColdImage], reads: list[str]) -> None:
        self._objects = objects
        self._reads = reads
        self.images = images

    async def warm(self, nodes: Sequence[str]) -> None:
        """Bring every image into the cache nodes, as many chunks at a time as are sure to be taken."""
        async with self._path(nodes) as path:
            for image in self.images:
                await (await path.fetch_image(image.digest, KEY)).read(0, len(image.content))
                await path.filler.drain()

    async def start_all(self, nodes: Sequence[str]) -> Starts:
        """Start every image at once, on a worker with empty caches of its own."""
        failed: list[str] = []
        seconds: list[float] = []
        clock = SystemClock()
        async with self._path(nodes) as path:
            before = len(self._reads)

            async def start(image: ColdImage) -> None:
                began = clock.monotonic()
                try:
                    reader = await path.fetch_image(image.digest, KEY)
                    if await reader.read(0, len(image.content)) != image.content:
                        failed.append(f"{image.digest}: other bytes than its own")
                except Exception as error:
                    failed.append(f"{image.digest}: {error!r}")
                seconds.append(clock.monotonic() - began)

            async with asyncio.TaskGroup() as group:
                for image in self.images:
                    group.create_task(start(image))
            return Starts(tuple(seconds), tuple(failed), len(self._reads) - before)

    @contextlib.asynccontextmanager
    async def _path(self, nodes: Sequence[str]) -> AsyncIterator[ReadPath]:
        config = Configure(nodes=tuple(nodes), memory_bytes=64 * 1024**2)
        async with open_read_path(config, SystemClock(), self._objects) as path:
            yield path


async def make_cold_starts(count: int, chunks: int, origin_latency_s: float = 0.0) -> ColdStarts:
    """count: images of so many chunks each. origin_latency_s: of every request to the origin."""
    reads: list[str] = []

    def note(operation: str, path: str) -> None:
        if operation == "get" and "/chunks/" in path:
            reads.append(path)

    objects = MemoryObjects(note)
    origin = Origin(objects, SystemClock())
    root = await active_root(objects, 1.0)
    chooser = random.Random(5)  # noqa: S311  # data, the same in every run
    images = []
    for _ in range(count):
        content = chooser.randbytes(CHUNK_SIZE * chunks)
        plan = UploadPlan(salt=Salt(root.id), key=KEY, key_name="k", context="c", chunk_size=CHUNK_SIZE)
        uploaded = await upload_image(iterate_in_thread([content]), OriginStore(origin, root.id), plan)
        await publish_manifest(origin, root.id, uploaded)
        images.append(ColdImage(uploaded.digest, content))
    objects.latency_s = origin_latency_s
    return ColdStarts(objects, images, reads)


class SlowProxy:
    """Stands before a server and lets answers wait `delay_s`, each of them, without holding up the next.

    It begins without a delay: caches are filled through it, because its address is what the ring knows the node by.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.delay_s = 0.0
        self.address = ""

    async def serve(self) -> None:
        """Until cancelled; `address` is set by then."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        async with server:
            await asyncio.get_running_loop().create_future()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, up_writer, lambda: 0.0))
                group.create_task(_copy(up_reader, writer, lambda: self.delay_s))
        except* OSError:
            pass
        finally:
            writer.close()
            up_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
    """Pass bytes on, each as much later as `delay` says when it comes."""
    loop = asyncio.get_running_loop()
    while data := await reader.read(_PIECE):
        if delay():
            loop.call_later(delay(), _write, writer, data)
        else:
            writer.write(data)
            await writer.drain()
    loop.call_later(delay(), writer.close)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)
