"""A stream of image bytes → chunks in a store, and the manifest.

Only what the store lacks is sent. The manifest is made, and may be published, after every chunk is safe: a builder that
is killed leaves chunks that nobody refers to, which the collector drops with their root.

What an uploader can learn from timing, and what is done about it. Asking first makes an upload faster when the store
has the chunks already, so a tenant that can time its own `CreateFunction` can test whether *anybody* has a file it
holds. Three answers, from cheap to complete: the work runs behind `Pending`, whose changes are only seen by polling,
among other builds; `Known.SEND_ANYWAY` sends every chunk, so that time no longer depends on what is stored (bandwidth
is the price; the store still deduplicates); a tenant's private salt shares nothing with anybody, so there is nothing to
learn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from lambdad.chunks.codec import CHUNK_SIZE, EncodedChunk, Salt, Tails, encode_chunk
from lambdad.chunks.interface import ChunkError, ChunkName, ChunkStore
from lambdad.chunks.manifest import FileSystem, ImageShape, Row, parse_manifest, seal_manifest
from lambdad.chunks.objects import ObjectMissing
from lambdad.chunks.origin import Origin, manifest_path
from lambdad.chunks.roots import RootState, load_root


class Known(Enum):
    """What to do with a chunk that the store has already."""

    SKIP = "skip"
    SEND_ANYWAY = "send anyway"


class RootGone(ChunkError):
    """The root that the chunks went to is being deleted: upload again, into an active root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    """How an image becomes chunks.

    key, key_name: the function's key and what the ring calls it. context: what the manifest is of, for `open_manifest`.
    workers: chunks encrypted and sent at once; memory is about twice `workers` chunks.
    """

    salt: Salt
    key: bytes
    key_name: str
    context: str
    file_system: FileSystem = FileSystem.UNKNOWN
    chunk_size: int = CHUNK_SIZE
    tails: Tails = Tails.TRIM
    known: Known = Known.SKIP
    workers: int = 8


@dataclass(slots=True)
class UploadCounts:
    """Progress. Sizes in bytes; `read` is of the image, `sent` of cipher text that the store did not have."""

    read: int = 0
    zero_chunks: int = 0
    chunks: int = 0
    repeated: int = 0
    """Chunks that stand at another position of the same image too."""
    known: int = 0
    sent_chunks: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Uploaded:
    """digest: SHA-256 of the manifest, hexadecimal: what the function's configuration pins."""

    manifest: bytes
    digest: str
    counts: UploadCounts


Progress = Callable[[UploadCounts], None]


async def upload_image(
    stream: AsyncIterable[bytes], store: ChunkStore, plan: UploadPlan, progress: Progress = lambda counts: None
) -> Uploaded:
    """Cut, encrypt and send an image. `stream`: its bytes in pieces of any size.

    Raises what the stream raises and `ChunkError`; the first error stops everything, and nothing refers to what was
    sent.
    """
    upload = _Upload(store, plan, progress)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.workers):
                group.create_task(upload.work())
            group.create_task(upload.feed(stream))
    except BaseExceptionGroup as failures:
        raise _first_leaf(failures) from failures
    shape = ImageShape(
        size=upload.counts.read, chunk_size=plan.chunk_size, file_system=plan.file_system, tails=plan.tails
    )
    rows = [upload.rows[position] for position in sorted(upload.rows)]
    manifest = seal_manifest(shape, rows, key=plan.key, key_name=plan.key_name, context=plan.context)
    return Uploaded(manifest, parse_manifest(manifest).digest, upload.counts)


async def publish_manifest(origin: Origin, root: str, uploaded: Uploaded) -> None:
    """Make the manifest findable in the root that its chunks went to. Raises `RootGone`, `ChunkError`.

    A root that was retired during the upload is fine: the collector waits for its grace period before the last look.
    """
    record = await load_root(origin, root)
    if record is None or record.state not in (RootState.ACTIVE, RootState.RETIRED):
        raise RootGone(f"root {root} was given up during the upload: start the upload again")
    await origin.put(manifest_path(root, uploaded.digest), uploaded.manifest)


async def fetch_manifest(origin: Origin, roots: Iterable[str], digest: str) -> bytes:
    """The manifest from the first of the roots that has it. Raises `ObjectMissing` if none has."""
    for root in roots:
        try:
            return await origin.get(manifest_path(root, digest))
        except ObjectMissing:
            continue
    raise ObjectMissing(f"manifest {digest} is in no root")


async def iterate_in_thread(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """An ordinary iterator (an image writer, a file) as a stream: each step runs in a thread."""
    iterator = iter(pieces)
    while (piece := await asyncio.to_thread(next, iterator, None)) is not None:
        yield piece


def read_pieces(read: Callable[[int], bytes], size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """A file's `read` as an iterator."""
    while piece := read(size):
        yield piece


class _Upload:
    """One upload: a feeder cuts, workers encode and send, a bounded queue between them."""

    def __init__(self, store: ChunkStore, plan: UploadPlan, progress: Progress) -> None:
        self.counts = UploadCounts()
        self.rows: dict[int, Row] = {}
        self._store = store
        self._plan = plan
        self._progress = progress
        self._salt = plan.salt.encode()
        self._seen: set[ChunkName] = set()
        self._queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(plan.workers)

    async def feed(self, stream: AsyncIterable[bytes]) -> None:
        position = 0
        async for plaintext in cut(stream, self._plan.chunk_size):
            self.counts.read += len(plaintext)
            await self._queue.put((position, plaintext))
            position += 1
        for _ in range(self._plan.workers):
            await self._queue.put(None)

    async def work(self) -> None:
        while (item := await self._queue.get()) is not None:
            position, plaintext = item
            encoded = await asyncio.to_thread(encode_chunk, plaintext, self._salt, self._plan.tails)
            if encoded is None:
                self.counts.zero_chunks += 1
            else:
                self.rows[position] = Row(position, len(encoded.cipher_text), encoded.name, encoded.key)
                await self._send(encoded)
            self._progress(self.counts)

    async def _send(self, encoded: EncodedChunk) -> None:
        self.counts.chunks += 1
        if encoded.name in self._seen:
            self.counts.repeated += 1
            return
        self._seen.add(encoded.name)
        if self._plan.known is Known.SKIP and await self._store.has(encoded.name):
            self.counts.known += 1
            return
        await self._store.put(encoded.name, encoded.cipher_text)
        self.counts.sent_chunks += 1
        self.counts.sent += len(encoded.cipher_text)


async def cut(stream: AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """Pieces of any length → pieces of `size` bytes; the last may be shorter."""
    parts: list[bytes | memoryview] = []
    have = 0
    async for piece in stream:
        view = memoryview(piece)
        while have + len(view) >= size:
            parts.append(view[: size - have])
            view = view[size - have :]
            yield b"".join(parts)
            parts, have = [], 0
        if view:
            # A copy: the caller may reuse its buffer, and a view would keep a big piece alive for a few bytes.
            parts.append(bytes(view))
            have += len(view)
    if have:
        yield b"".join(parts)


def _first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
