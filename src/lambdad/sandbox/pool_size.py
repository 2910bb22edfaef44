"""How many prepared cells a pool keeps, by Little's law. Pure; `now` is monotonic seconds.

What must be ready is what is taken while one is being made: the rate at which cells are taken, times the time that one
takes. The rate is an average that forgets exponentially; a pool that nobody uses is back at its least size soon.
"""

from __future__ import annotations

import math

WINDOW_S = 10.0
"""Time in which an old taking loses two thirds of its weight."""
MARGIN = 2.0
"""Takings come in bursts, not evenly."""
LARGEST = 16


class PoolSize:
    """least: cells that are ready however seldom they are taken; 0 for none, ever."""

    __slots__ = ("_at", "_make_s", "_rate", "least")

    def __init__(self, least: int) -> None:
        self.least = least
        self._rate = 0.0
        self._make_s = 0.0
        self._at = 0.0

    def taken(self, now: float) -> None:
        """Somebody has taken a cell."""
        self._rate = self._decayed(now) + 1 / WINDOW_S
        self._at = now

    def made(self, seconds: float) -> None:
        """Making a cell took so long."""
        self._make_s = seconds if self._make_s == 0 else 0.8 * self._make_s + 0.2 * seconds

    def wanted(self, now: float) -> int:
        if self.least == 0:
            return 0
        needed = math.ceil(self._decayed(now) * self._make_s * MARGIN)
        return max(self.least, min(needed, LARGEST))

    def _decayed(self, now: float) -> float:
        return self._rate * math.exp(-max(now - self._at, 0.0) / WINDOW_S)
