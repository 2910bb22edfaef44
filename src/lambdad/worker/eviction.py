"""Which idle environments end, and when. Pure; `now` is monotonic seconds.

Two reasons: idle for longer than the keep-alive time, and too little memory. Under pressure the order is
Greedy-Dual-Size-Frequency: an environment is worth more the more often it is used and the longer its start took, and
less the more memory it holds; an inflating clock lets old worth fade.
Source: Fuerst and Sharma, "FaasCache", ASPLOS 2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """An environment that nobody uses.

    since: monotonic seconds. start_ms: cost of its cold start. size: bytes. keep: seconds that it may be idle.
    """

    id: str
    since: float
    uses: int
    start_ms: float
    size: int
    clock: float
    """Value of `GreedyDual.clock` when it was used last."""
    keep: float


class GreedyDual:
    """The inflating clock."""

    __slots__ = ("clock",)

    def __init__(self) -> None:
        self.clock = 0.0

    def worth(self, idle: Idle) -> float:
        return idle.clock + idle.uses * idle.start_ms / max(idle.size, 1)

    def victims(self, idles: Iterable[Idle], bytes_needed: int) -> list[str]:
        """The least worthy environments that together hold `bytes_needed`, in the order in which they should go."""
        chosen: list[str] = []
        if bytes_needed <= 0:
            return chosen
        for worth, idle in sorted(
            ((self.worth(idle), idle) for idle in idles), key=lambda pair: (pair[0], pair[1].since)
        ):
            chosen.append(idle.id)
            self.clock = max(self.clock, worth)
            bytes_needed -= idle.size
            if bytes_needed <= 0:
                break
        return chosen


def expired(idles: Iterable[Idle], now: float) -> list[str]:
    """The environments that have been idle for longer than they may."""
    return [idle.id for idle in idles if now - idle.since > idle.keep]
