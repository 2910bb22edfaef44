"""Back-pressure: how many things may happen at once, and what becomes of the rest.

`Slots` bounds concurrency and queue. `LimitedStore` puts a store behind slots. `StartGate` is the cold-cache plan: when
every cache is empty, each start takes longer, so more starts are under way, so the origin is asked more, so each takes
longer still (the paper's metastable failure). The gate bounds the starts under way and closes early when the origin's
queue grows; a refused start costs nothing, and those admitted fill the caches for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType

from lambdad.chunks.interface import ChunkName, ChunkStore, Overloaded


class Slots:
    """A semaphore with a bounded queue: `async with slots` waits its turn, or raises `Overloaded` at once."""

    def __init__(self, concurrency: int, queue: int, what: str) -> None:
        if concurrency < 1 or queue < 0:
            raise ValueError("concurrency must be at least 1 and queue not negative")
        self._free = concurrency
        self._queue = queue
        self._what = what
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def pressure(self) -> float:
        """Waiting requests as a part of the queue; 0.0 to 1.0."""
        return len(self._waiting) / self._queue if self._queue else 0.0

    async def __aenter__(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if len(self._waiting) >= self._queue:
            raise Overloaded(f"{self._what} has {self._queue} requests waiting already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            else:
                with contextlib.suppress(ValueError):  # `_release` may have passed it over already
                    self._waiting.remove(turn)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        # A cancelled future may still stand in the queue for a moment: its owner takes it out.
        while self._waiting:
            turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
                continue
            self._waiting.popleft()
            turn.set_result(None)
            return
        self._free += 1


class LimitedStore:
    """A store that is asked at most `concurrency` things at once."""

    def __init__(self, inner: ChunkStore, concurrency: int, queue: int) -> None:
        self._inner = inner
        self._slots = Slots(concurrency, queue, "the store")

    async def get(self, name: ChunkName) -> bytes:
        async with self._slots:
            return await self._inner.get(name)

    async def has(self, name: ChunkName) -> bool:
        async with self._slots:
            return await self._inner.has(name)

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        async with self._slots:
            await self._inner.put(name, cipher_text)

    async def close(self) -> None:
        await self._inner.close()


class StartGate:
    """Counts starts under way on this worker, and refuses more than it can feed.

    limit: starts at once. pressure: gives the origin's queue, 0.0 to 1.0; above `close_at` nobody enters.
    """

    def __init__(self, limit: int, pressure: Callable[[], float], close_at: float = 0.5) -> None:
        self._limit = limit
        self._pressure = pressure
        self._close_at = close_at
        self._under_way = 0

    @property
    def under_way(self) -> int:
        return self._under_way

    @contextlib.contextmanager
    def start(self) -> Iterator[None]:
        """Hold while a start is loading. Raises `Overloaded` before anything was asked of anybody."""
        if self._under_way >= self._limit:
            raise Overloaded(f"{self._limit} image starts are under way already: refused before the caches suffer")
        if self._pressure() > self._close_at:
            raise Overloaded("the origin has fallen behind: no new image start until it has caught up")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
