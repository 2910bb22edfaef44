"""The origin: the tier that has every chunk, behind everything that keeps it from being asked too much.

Bounded concurrency with a bounded queue; retries and hedges paid from token buckets, so that a failing or slow origin
gets at most a tenth more requests than it would have had. Not a cache: a `put` is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lambdad.chunks.interface import ChunkInvalid, ChunkMissing, ChunkName, StoreUnavailable
from lambdad.chunks.limited import Slots
from lambdad.chunks.objects import ObjectMissing, Objects
from lambdad.chunks.token_bucket import TokenBucket
from lambdad.model.clock import Clock

T = TypeVar("T")


class Sleep(Protocol):
    """`asyncio.sleep`, or a test's."""

    async def __call__(self, seconds: float, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginLimits:
    """How hard the origin may be pressed.

    concurrency: requests at once; twice what prefetch uses, so that a read never waits for it. queue: requests that may
    wait for a place. attempts: tries of one request in all. backoff_s: pause before the second try, doubled each time.
    retry_ratio, hedge_ratio: extra requests per ordinary one. hedge_min_s: never hedge earlier than this. deadline_s:
    for one attempt.
    """

    concurrency: int = 64
    queue: int = 4096
    attempts: int = 3
    backoff_s: float = 0.05
    retry_ratio: float = 0.1
    hedge_ratio: float = 0.05
    hedge_min_s: float = 0.02
    burst: float = 10.0
    deadline_s: float = 10.0


def chunk_path(root: str, name: ChunkName) -> str:
    text = name.hex()
    return f"{root}/chunks/{text[:2]}/{text}"


def manifest_path(root: str, digest: str) -> str:
    return f"{root}/manifests/{digest}"


class Origin:
    """Objects behind the limits. One per object store and process, whatever the number of roots in it."""

    def __init__(
        self, objects: Objects, clock: Clock, limits: OriginLimits | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.objects = objects
        self._limits = limits or OriginLimits()
        self._clock = clock
        self._sleep = sleep
        self._slots = Slots(self._limits.concurrency, self._limits.queue, "the origin")
        self._retries = TokenBucket(self._limits.retry_ratio, self._limits.burst)
        self._hedges = TokenBucket(self._limits.hedge_ratio, self._limits.burst)
        self._latencies = Latencies()
        self.hedged = 0
        """Reads that were asked twice because the first answer was slow: the only reads that are."""

    async def get(self, path: str) -> bytes:
        """Raises `ObjectMissing`, `StoreUnavailable` or `Overloaded`."""
        return await self._attempt(lambda: self._hedged(lambda: self.objects.get(path)))

    async def head(self, path: str) -> int | None:
        """Size in bytes or None. Raises `StoreUnavailable` or `Overloaded`."""
        return await self._attempt(lambda: self.objects.head(path))

    async def put(self, path: str, data: bytes) -> None:
        """Raises `StoreFull`, `StoreUnavailable` or `Overloaded`."""
        await self._attempt(lambda: self.objects.put(path, data))

    @property
    def pressure(self) -> float:
        """Requests waiting for a place, as a part of the queue: 0.0 is none."""
        return self._slots.pressure

    async def _attempt(self, operation: Callable[[], Awaitable[T]]) -> T:
        self._retries.deposit()
        pause = self._limits.backoff_s
        for attempt in range(1, self._limits.attempts + 1):
            try:
                async with self._slots:
                    async with asyncio.timeout(self._limits.deadline_s):
                        return await operation()
            except TimeoutError:
                error = StoreUnavailable(f"the origin did not answer within {self._limits.deadline_s} s")
            except StoreUnavailable as unavailable:
                error = unavailable
            if attempt == self._limits.attempts or not self._retries.take():
                raise error
            await self._sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    async def _hedged(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """Ask; if the answer takes longer than 95 of 100 do, ask once more; the first answer wins."""
        self._hedges.deposit()
        start = self._clock.monotonic()
        patience = self._latencies.slow(self._limits.hedge_min_s)
        if patience is None:
            data = await read()
        else:
            data = await self._race(read, patience)
        self._latencies.record(self._clock.monotonic() - start)
        return data

    async def _race(self, read: Callable[[], Awaitable[bytes]], patience: float) -> bytes:
        async def run() -> bytes | Exception:
            # Errors are values here: an exception would cancel the sibling that may still win.
            try:
                return await read()
            except (ObjectMissing, StoreUnavailable) as error:
                return error

        async with asyncio.TaskGroup() as group:
            racers = {group.create_task(run())}
            done, pending = await asyncio.wait(racers, timeout=patience)
            if not done and self._hedges.take():
                self.hedged += 1
                pending.add(group.create_task(run()))
            outcome = _first(done)
            while pending and not isinstance(outcome, bytes):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                outcome = _first(done)
            for loser in pending:
                loser.cancel()
        if isinstance(outcome, bytes):
            return outcome
        assert outcome is not None
        raise outcome


class OriginStore:
    """The chunks of one root at an origin. A `ChunkStore`."""

    def __init__(self, origin: Origin, root: str) -> None:
        self.root = root
        self._origin = origin

    async def get(self, name: ChunkName) -> bytes:
        try:
            data = await self._origin.get(chunk_path(self.root, name))
        except ObjectMissing:
            raise ChunkMissing(name, f"origin root {self.root}") from None
        if not data:
            raise ChunkInvalid(name, f"origin root {self.root}", "empty object")
        return data

    async def has(self, name: ChunkName) -> bool:
        size = await self._origin.head(chunk_path(self.root, name))
        return size is not None and size > 0

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        await self._origin.put(chunk_path(self.root, name), cipher_text)

    async def close(self) -> None:
        await self._origin.objects.close()


def _first(done: set[asyncio.Task[bytes | Exception]]) -> bytes | Exception | None:
    outcome: bytes | Exception | None = None
    for task in done:
        outcome = task.result()
        if isinstance(outcome, bytes):
            break
    return outcome


class Latencies:
    """The last hundred answers. `slow` is what five of a hundred exceed."""

    __slots__ = ("_recent", "_slow", "_stale")

    _ENOUGH = 20

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=100)
        self._slow = 0.0
        self._stale = 0

    def record(self, seconds: float) -> None:
        self._recent.append(seconds)
        self._stale += 1
        if self._stale >= self._ENOUGH:
            self._stale = 0
            self._slow = sorted(self._recent)[int(len(self._recent) * 0.95)]

    def slow(self, at_least: float) -> float | None:
        """Seconds after which an answer is slow; None as long as too few were seen."""
        return max(at_least, self._slow) if self._slow else None
