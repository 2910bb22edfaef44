"""Decrypted chunks in memory, shared by every image that this process serves.

Looked up by name *and key*: whoever forges a manifest with somebody's chunk name does not get the plaintext without the
key. One fetch and one decryption per chunk, however many readers wait for it.
"""

from __future__ import annotations

import asyncio

from lambdad.chunks.codec import decode_chunk
from lambdad.chunks.interface import ChunkInvalid, ChunkStore
from lambdad.chunks.lru_k import LruK
from lambdad.chunks.manifest import Row
from lambdad.chunks.single_flight import SingleFlight
from lambdad.model.clock import Clock

_Key = tuple[bytes, bytes]

_DECODE_IN_THREAD = 1024 * 1024
"""Bytes from which decryption leaves the loop: 512 KiB take 75 us, and a thread costs the loop about that."""


class PlainCache:
    """At most `capacity` bytes of plaintext over a store that verifies what it returns."""

    def __init__(self, store: ChunkStore, capacity: int, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._policy: LruK[_Key] = LruK(capacity)
        self._chunks: dict[_Key, bytes] = {}
        self._flights: SingleFlight[_Key] = SingleFlight()

    def peek(self, row: Row) -> bytes | None:
        """The stored part of a chunk if it is here."""
        key = (row.name, row.key)
        data = self._chunks.get(key)
        if data is not None:
            self._policy.touch(key, self._clock.monotonic())
        return data

    async def get(self, row: Row) -> bytes:
        """The stored part of a chunk, `row.length` bytes. Raises `ChunkError`."""
        data = self.peek(row)
        if data is not None:
            return data
        return await self._flights.run((row.name, row.key), lambda: self._fetch(row))

    async def _fetch(self, row: Row) -> bytes:
        cipher_text = await self._store.get(row.name)
        if len(cipher_text) != row.length:
            # The hash is right, so the manifest and the chunk disagree: no tier can have a better one.
            raise ChunkInvalid(row.name, "the manifest", f"{len(cipher_text)} bytes instead of {row.length}")
        if len(cipher_text) < _DECODE_IN_THREAD:
            data = decode_chunk(cipher_text, row.key)
        else:
            data = await asyncio.to_thread(decode_chunk, cipher_text, row.key)
        key = (row.name, row.key)
        self._chunks[key] = data
        for victim in self._policy.add(key, len(data), self._clock.monotonic()):
            del self._chunks[victim]
        return data
