"""The memory tier: chunks in a dict under LRU-K. What is in it was verified on entry and is not verified again."""

from __future__ import annotations

from lambdad.chunks.interface import ChunkMissing, ChunkName
from lambdad.chunks.lru_k import LruK
from lambdad.model.clock import Clock


class MemoryStore:
    """At most `capacity` bytes of cipher text. A cache: `put` may throw away others, or the chunk itself."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        self._policy: LruK[ChunkName] = LruK(capacity)
        self._clock = clock
        self._chunks: dict[ChunkName, bytes] = {}

    async def get(self, name: ChunkName) -> bytes:
        data = self._chunks.get(name)
        if data is None:
            raise ChunkMissing(name, "memory")
        self._policy.touch(name, self._clock.monotonic())
        return data

    async def has(self, name: ChunkName) -> bool:
        return name in self._chunks

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        self._chunks[name] = cipher_text
        for victim in self._policy.add(name, len(cipher_text), self._clock.monotonic()):
            del self._chunks[victim]

    async def close(self) -> None:
        self._chunks.clear()
