"""Tiers behind one `get` that never returns a wrong chunk.

The tiers are asked in order. What one gives is hashed before it is believed, here or by the tier (once: the memory
tier holds only what passed). A tier whose chunk is damaged, or which did not have it, gets the good one afterwards, in
the background: filling caches is never on the path of a read, and is dropped rather than queued without limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lambdad.chunks.interface import ChunkError, ChunkInvalid, ChunkMissing, ChunkName, ChunkStore

_log = logging.getLogger(__name__)

_HASH_IN_THREAD = 64 * 1024
"""Bytes above which hashing leaves the loop: 64 KiB take 35 us, about what a thread costs."""


class Trust(Enum):
    """Whether what a tier returns has been verified.

    MEMORY: when it went in, and it cannot have changed since. ITSELF: by the tier, each time, in the thread that read
    it: a chunk goes to a thread and back once, not twice. NONE: it is verified here.
    """

    MEMORY = "memory"
    ITSELF = "itself"
    NONE = "none"


class Role(Enum):
    """CACHE tiers are filled after a miss; SOURCE tiers are only written by uploads, and repaired."""

    CACHE = "cache"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Tier:
    name: str
    store: ChunkStore
    trust: Trust = Trust.NONE
    role: Role = Role.CACHE


@dataclass(slots=True)
class TierCounts:
    """How often a tier had a chunk, did not, had a damaged one, or failed."""

    hits: int = 0
    misses: int = 0
    invalid: int = 0
    unavailable: int = 0


class Filler:
    """Puts chunks into caches in the background. Somebody awaits `run` for as long as the tiers are used."""

    def __init__(self, workers: int = 4, queue: int = 256) -> None:
        self._workers = workers
        self._queue: asyncio.Queue[tuple[ChunkStore, ChunkName, bytes]] = asyncio.Queue(queue)
        self._queued: Counter[tuple[int, ChunkName]] = Counter()
        self.dropped = 0

    def offer(self, store: ChunkStore, name: ChunkName, data: bytes) -> None:
        """Put it in soon, or not at all if too much is waiting."""
        key = (id(store), name)
        if self._queued[key]:
            return
        try:
            self._queue.put_nowait((store, name, data))
            self._queued[key] += 1
        except asyncio.QueueFull:
            self.dropped += 1
            del self._queued[key]

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def drain(self) -> None:
        """Wait until everything offered so far has been tried. `run` must be running."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            store, name, data = await self._queue.get()
            try:
                await store.put(name, data)
            except ChunkError as error:
                _log.debug("action=cache_fill_failed error=%s", error)
            finally:
                del self._queued[(id(store), name)]
                self._queue.task_done()


class VerifiedStore:
    """The tiers as one store."""

    def __init__(self, tiers: Sequence[Tier], filler: Filler) -> None:
        if not tiers:
            raise ValueError("there must be a tier")
        self._tiers = tuple(tiers)
        self._filler = filler
        self.counts = {tier.name: TierCounts() for tier in tiers}

    async def get(self, name: ChunkName) -> bytes:
        wanting: deque[Tier] = deque()
        trouble: list[ChunkError] = []
        for tier in self._tiers:
            counts = self.counts[tier.name]
            try:
                data = await tier.store.get(name)
                if tier.trust is Trust.NONE:
                    await _verify(name, data, tier.name)
            except ChunkMissing:
                counts.misses += 1
                if tier.role is Role.CACHE:
                    wanting.append(tier)
            except ChunkInvalid as error:
                counts.invalid += 1
                _log.warning("action=chunk_damaged tier=%s error=%s", tier.name, error)
                wanting.append(tier)
                trouble.append(error)
            except ChunkError as error:
                counts.unavailable += 1
                trouble.append(error)
            else:
                counts.hits += 1
                await self._fill(wanting, name, data)
                return data
        raise trouble[-1] if trouble else ChunkMissing(name, "any tier")

    async def has(self, name: ChunkName) -> bool:
        """Whether the last tier, the one that decides, has it."""
        return await self._tiers[-1].store.has(name)

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        """Into the last tier, the one that keeps. The caches fill themselves on reading."""
        await self._tiers[-1].store.put(name, cipher_text)

    async def close(self) -> None:
        for tier in self._tiers:
            await tier.store.close()

    async def _fill(self, tiers: deque[Tier], name: ChunkName, data: bytes) -> None:
        for tier in tiers:
            if tier.trust is Trust.MEMORY:
                await tier.store.put(name, data)
            else:
                self._filler.offer(tier.store, name, data)


async def _verify(name: ChunkName, data: bytes, where: str) -> None:
    if len(data) < _HASH_IN_THREAD:
        digest = hashlib.sha256(data).digest()
    else:
        digest = await asyncio.to_thread(_digest, data)
    if digest != name:
        raise ChunkInvalid(name, where, "the hash of the bytes is not the name")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
