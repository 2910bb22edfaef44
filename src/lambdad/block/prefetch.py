"""Fetching what the last start read, before this one asks for it.

`PrefetchPolicy` is pure: it says which chunks to fetch now. Reads come first: every chunk that a reader waits for takes
one of the places, so a burst of reads stops the prefetch until it is over. `Prefetcher` performs it on a reader.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from lambdad.block.interface import BlockError
from lambdad.block.reader import ImageReader

_log = logging.getLogger(__name__)

AT_ONCE = 32
"""Measured: 32 hides a 36 ms origin behind the start of a Python interpreter; more only competes with reads."""


class PrefetchPolicy:
    """order: positions, most urgent first. at_once: fetches under way, those that readers wait for included."""

    def __init__(self, order: Iterable[int], at_once: int = AT_ONCE) -> None:
        self._order = deque(dict.fromkeys(order))
        self._at_once = at_once
        self._fetching: set[int] = set()
        self._waited_for: dict[int, int] = {}

    @property
    def is_finished(self) -> bool:
        return not self._order and not self._fetching

    def take(self) -> list[int]:
        """The positions to start fetching now."""
        taken = []
        while self._order and len(self._fetching | self._waited_for.keys()) < self._at_once:
            position = self._order.popleft()
            if position in self._waited_for:
                continue
            self._fetching.add(position)
            taken.append(position)
        return taken

    def fetched(self, position: int) -> None:
        """A fetch ended, well or not."""
        self._fetching.discard(position)

    def wanted(self, position: int) -> None:
        """A reader waits for the position."""
        self._waited_for[position] = self._waited_for.get(position, 0) + 1

    def served(self, position: int) -> None:
        """A reader waits no more."""
        left = self._waited_for.get(position, 0) - 1
        if left > 0:
            self._waited_for[position] = left
        else:
            self._waited_for.pop(position, None)


class Prefetcher:
    """Performs a policy on a reader. `run` ends when everything was tried."""

    def __init__(self, reader: ImageReader, policy: PrefetchPolicy) -> None:
        self._reader = reader
        self._policy = policy
        self._wake = asyncio.Event()
        self.failed = 0

    def on_read(self, position: int) -> None:
        return

    def on_miss(self, position: int) -> None:
        self._policy.wanted(position)

    def on_loaded(self, position: int) -> None:
        self._policy.served(position)
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
            _log.info("action=prefetch_failed error=%s", error)
        finally:
            self._policy.fetched(position)
            self._wake.set()
