"""Which chunks to fetch when nothing was recorded: those that stand behind what is read.

The layout puts the files of a package side by side, so who reads one chunk mostly reads the next ones, one round trip
to the origin after the other. Measured on a gigabyte of scientific Python: 85 round trips instead of 215, for 1.4 x the
bytes. Pure; `fetcher` performs it.
"""

from __future__ import annotations

from collections import deque

AHEAD = 2
"""Chunks behind one that is read. With 4 there are 73 round trips, and as many useless chunks as useful ones."""
AT_ONCE = 16
"""Fetches under way at most; reads are not counted and wait for none of them."""
_WAITING_MAX = 64


class AheadPolicy:
    """A `FetchPolicy`. positions: chunks of the image. ahead: how many behind each. at_once: fetches under way."""

    def __init__(self, positions: int, ahead: int = AHEAD, at_once: int = AT_ONCE) -> None:
        self._positions = positions
        self._ahead = ahead
        self._at_once = at_once
        self._read: set[int] = set()
        self._asked: set[int] = set()
        self._waiting: deque[int] = deque(maxlen=_WAITING_MAX)
        self._under_way = 0

    @property
    def is_finished(self) -> bool:
        return False

    def read(self, position: int) -> bool:
        if position in self._read:
            return False
        self._read.add(position)
        for behind in range(position + 1, min(position + 1 + self._ahead, self._positions)):
            if behind not in self._asked and behind not in self._read:
                self._asked.add(behind)
                self._waiting.append(behind)
        return True

    def wanted(self, position: int) -> bool:
        return self.read(position)

    def served(self, position: int) -> bool:
        return False

    def take(self) -> list[int]:
        """The latest first, for the reader is there."""
        taken = []
        while self._waiting and self._under_way < self._at_once:
            position = self._waiting.pop()
            if position not in self._read:
                taken.append(position)
                self._under_way += 1
        return taken

    def fetched(self, position: int) -> None:
        self._under_way -= 1
