"""Doubles for chunk stores and origins: they count, fail, wait and lie as a test says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

from lambdad.chunks.interface import ChunkMissing, ChunkName
from lambdad.chunks.objects import ObjectMissing


class StepClock:
    """A clock that stands still until it is told. A `Clock`."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class ScriptedStore:
    """A store in a dict. `on_get` is awaited before each answer and may raise, wait, or change what is stored."""

    def __init__(self, on_get: Callable[[ChunkName], object] | None = None) -> None:
        self.chunks: dict[ChunkName, bytes] = {}
        self.gets: Counter[ChunkName] = Counter()
        self.puts: Counter[ChunkName] = Counter()
        self.on_get = on_get
        self.gate: asyncio.Event | None = None
        """If set, `get` waits for it after it was counted."""
        self.failure: Exception | None = None
        """If set, everything raises it."""

    async def get(self, name: ChunkName) -> bytes:
        self.gets[name] += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.on_get is not None:
            self.on_get(name)
        if self.failure is not None:
            raise self.failure
        try:
            return self.chunks[name]
        except KeyError:
            raise ChunkMissing(name, "the double") from None

    async def has(self, name: ChunkName) -> bool:
        if self.failure is not None:
            raise self.failure
        return name in self.chunks

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.puts[name] += 1
        self.chunks[name] = cipher_text

    async def close(self) -> None:
        return


class MemoryObjects:
    """Objects in a dict. `before` is called with the operation and the path first, and may raise: a crash or a fault.

    latency_s: every read waits so long, as a distant origin does.
    """

    def __init__(self, before: Callable[[str, str], None] | None = None, latency_s: float = 0.0) -> None:
        self.contents: dict[str, bytes] = {}
        self.gets: Counter[str] = Counter()
        self.before = before
        self.latency_s = latency_s
        self.most_at_once = 0
        self._at_once = 0

    async def get(self, path: str) -> bytes:
        self._begin("get", path)
        self.gets[path] += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self._at_once -= 1
        try:
            return self.contents[path]
        except KeyError:
            raise ObjectMissing(path) from None

    async def head(self, path: str) -> int | None:
        self._begin("head", path)
        data = self.contents.get(path)
        return None if data is None else len(data)

    async def put(self, path: str, data: bytes) -> None:
        self._begin("put", path)
        self.contents[path] = data

    async def create(self, path: str, data: bytes) -> bool:
        self._begin("create", path)
        return self.contents.setdefault(path, data) is data

    async def delete(self, path: str) -> None:
        self._begin("delete", path)
        self.contents.pop(path, None)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        self._begin("list", prefix)
        for path in list(self.contents):
            if path.startswith(f"{prefix}/"):
                yield path

    async def close(self) -> None:
        return

    def _begin(self, operation: str, path: str) -> None:
        if self.before is not None:
            self.before(operation, path)
