"""How fast a streamed response may go: AWS lets the first 6 MB pass as they come, and the rest at 2 MB a second.

An option of the node, off by default: people who run functions on their own machines want their own machines' speed.
Who tests a client against AWS's pace switches it on. Source: "Response streaming", AWS Lambda Developer Guide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lambdad.model.limits import STREAM_UNPACED_MAX


class Timer(Protocol):
    def cancel(self) -> None: ...


class CallLater(Protocol):
    """Calls back in so many seconds; `asyncio.AbstractEventLoop.call_later` is one."""

    def __call__(self, seconds: float, callback: Callable[[], None], /) -> Timer: ...


class Pacer:
    """One response. rate: bytes a second after the first `free` bytes. Pure; `now` is monotonic seconds."""

    def __init__(self, rate: float, free: int = STREAM_UNPACED_MAX) -> None:
        self._rate = rate
        self._free = free
        self._due = float("-inf")
        """When everything that was let go so far has gone at the rate."""

    def delay(self, size: int, now: float) -> float:
        """Seconds until a piece of `size` bytes may go; it counts as gone from now on."""
        paced = max(size - self._free, 0)
        self._free = max(self._free - size, 0)
        if not paced:
            return 0.0
        begin = max(self._due, now)
        self._due = begin + paced / self._rate
        return begin - now


@dataclass(frozen=True, slots=True)
class Pace:
    """The node's choice. rate: bytes a second. clock: monotonic seconds."""

    rate: float
    clock: Callable[[], float]
    call_later: CallLater

    def pacer(self) -> Pacer:
        return Pacer(self.rate)
