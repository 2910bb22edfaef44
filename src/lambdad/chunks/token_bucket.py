"""A token bucket that is filled by work done, not by time. Pure.

Retries and hedges are paid from it: every ordinary request puts in a fraction of a token, every extra one takes a whole
one. When the origin fails everything, extra requests die out by themselves instead of doubling its load.
"""

from __future__ import annotations


class TokenBucket:
    """ratio: tokens per ordinary request, 0.1 means at most 10 % extra. burst: tokens at most, and at the start."""

    __slots__ = ("_burst", "_ratio", "_tokens")

    def __init__(self, ratio: float, burst: float) -> None:
        if ratio < 0 or burst < 0:
            raise ValueError("ratio and burst must not be negative")
        self._ratio = ratio
        self._burst = burst
        self._tokens = burst

    def deposit(self) -> None:
        """An ordinary request was made."""
        self._tokens = min(self._burst, self._tokens + self._ratio)

    def take(self) -> bool:
        """Whether an extra request may be made."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
