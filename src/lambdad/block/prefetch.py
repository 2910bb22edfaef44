"""Which chunks to fetch when the last start was recorded: those that it read, in its order, before this one asks.

Pure; `fetcher` performs it. Every chunk that a reader waits for takes one of the places, so a burst of reads stops the
prefetch until it is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

AT_ONCE = 32
"""Measured: 32 hides a 36 ms origin behind the start of a Python interpreter; more only competes with reads."""


class PrefetchPolicy:
    """A `FetchPolicy`. order: positions, most urgent first. at_once: fetches under way, those that readers wait for
    included.
    """

    def __init__(self, order: Iterable[int], at_once: int = AT_ONCE) -> None:
        self._order = deque(dict.fromkeys(order))
        self._at_once = at_once
        self._fetching: set[int] = set()
        self._waited_for: dict[int, int] = {}

    @property
    def is_finished(self) -> bool:
        return not self._order and not self._fetching

    def read(self, position: int) -> bool:
        return False

    def wanted(self, position: int) -> bool:
        self._waited_for[position] = self._waited_for.get(position, 0) + 1
        return False

    def served(self, position: int) -> bool:
        left = self._waited_for.get(position, 0) - 1
        if left > 0:
            self._waited_for[position] = left
            return False
        self._waited_for.pop(position, None)
        return True

    def take(self) -> list[int]:
        taken = []
        while self._order and len(self._fetching | self._waited_for.keys()) < self._at_once:
            position = self._order.popleft()
            if position in self._waited_for:
                continue
            self._fetching.add(position)
            taken.append(position)
        return taken

    def fetched(self, position: int) -> None:
        self._fetching.discard(position)
