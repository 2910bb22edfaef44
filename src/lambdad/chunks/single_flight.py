"""One fetch per thing, however many want it.

The first caller (the leader) fetches; the others wait for what it gets. The leader is just a caller: it may be
cancelled, and then one of the waiting takes over; it may fail, and then one of them tries once more before the rest
hear of it. Nobody who was not cancelled is ever cancelled because of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lambdad.chunks.interface import ChunkError, ChunkMissing, ChunkName, ChunkStore

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Abandoned:
    """The leader was cancelled, or failed with a bug of ours: somebody else must try."""


_Outcome = bytes | ChunkError | _Abandoned


@dataclass(slots=True)
class _Flight:
    """One attempt. successor: the attempt after it failed or was abandoned, shared by all who waited for this one."""

    outcome: asyncio.Future[_Outcome]
    successor: _Flight | None = None


class SingleFlight(Generic[K]):
    """Joins concurrent fetches of the same key."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight] = {}

    async def run(self, key: K, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `fetch` returns, or what it returned to somebody who was first. Raises what `fetch` raises."""
        flight = self._flights.get(key)
        if flight is None:
            return await self._lead(key, fetch, self._begin(key))
        failures = 0
        while True:
            # Shielded: a waiter that is cancelled must not cancel the future of all the others.
            outcome = await asyncio.shield(flight.outcome)
            match outcome:
                case bytes():
                    return outcome
                case ChunkMissing():
                    raise outcome
                case ChunkError():
                    failures += 1
                    if failures == 2:
                        raise outcome
                case _Abandoned():
                    pass
            if flight.successor is None:
                flight.successor = self._flights.get(key)
            if flight.successor is None:
                flight.successor = self._begin(key)
                return await self._lead(key, fetch, flight.successor)
            flight = flight.successor

    def _begin(self, key: K) -> _Flight:
        flight = self._flights[key] = _Flight(asyncio.get_running_loop().create_future())
        return flight

    async def _lead(self, key: K, fetch: Callable[[], Awaitable[bytes]], flight: _Flight) -> bytes:
        outcome: _Outcome = _Abandoned()
        try:
            outcome = await fetch()
            return outcome
        except ChunkError as error:
            outcome = error
            raise
        finally:
            # Taken out first: who comes now must find the place free for a new attempt.
            del self._flights[key]
            flight.outcome.set_result(outcome)


class SingleFlightStore:
    """A store whose concurrent `get`s of one name are one `get` of `inner`."""

    def __init__(self, inner: ChunkStore) -> None:
        self._inner = inner
        self._flights: SingleFlight[ChunkName] = SingleFlight()

    async def get(self, name: ChunkName) -> bytes:
        return await self._flights.run(name, lambda: self._inner.get(name))

    async def has(self, name: ChunkName) -> bool:
        return await self._inner.has(name)

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        await self._inner.put(name, cipher_text)

    async def close(self) -> None:
        await self._inner.close()
