"""Fetching chunks before anybody asks for them, as a policy says. The policies are pure: `prefetch`, `readahead`.

Reads come first: a reader never waits for a fetch of ours, it starts its own or joins the one under way.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from lambdad.block.interface import BlockError
from lambdad.block.reader import ImageReader

_log = logging.getLogger(__name__)


class FetchPolicy(Protocol):
    """Hears what readers do and says what to fetch. Each that hears returns whether `take` may have something new."""

    @property
    def is_finished(self) -> bool:
        """Nothing is left to fetch, whatever is read from now on."""
        ...

    def read(self, position: int) -> bool:
        """Somebody reads a chunk that is in memory. Called on every read: must be quick."""
        ...

    def wanted(self, position: int) -> bool:
        """A reader waits for the position."""
        ...

    def served(self, position: int) -> bool:
        """A reader waits no more."""
        ...

    def take(self) -> list[int]:
        """The positions to start fetching now; each is told `fetched` once."""
        ...

    def fetched(self, position: int) -> None:
        """A fetch ended, well or not."""
        ...


class Fetcher:
    """Performs a policy on a reader. `run` ends when the policy is finished, or is cancelled."""

    def __init__(self, reader: ImageReader, policy: FetchPolicy) -> None:
        self._reader = reader
        self._policy = policy
        self._wake = asyncio.Event()
        self.failed = 0

    def on_read(self, position: int) -> None:
        if self._policy.read(position):
            self._wake.set()

    def on_miss(self, position: int) -> None:
        if self._policy.wanted(position):
            self._wake.set()

    def on_loaded(self, position: int) -> None:
        if self._policy.served(position):
            self._wake.set()

    async def run(self) -> None:
        """Errors are counted, not raised: whoever reads the chunk will hear of them."""
        self._reader.observe(self)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    for position in self._policy.take():
                        group.create_task(self._fetch(position))
                    if self._policy.is_finished:
                        return
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            self._reader.unobserve(self)

    async def _fetch(self, position: int) -> None:
        try:
            await self._reader.load(position)
        except BlockError as error:
            self.failed += 1
            _log.info("action=fetch_ahead_failed error=%s", error)
        finally:
            self._policy.fetched(position)
            self._wake.set()
