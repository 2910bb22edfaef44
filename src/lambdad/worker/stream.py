"""How far a function may run ahead of whoever reads its streamed response.

Pieces that were sent and not yet credited are in flight. At WINDOW bytes of them the function's connection is no longer
read, so that its writes block; at half of it reading goes on. Pure: reading is held back through `BodyFlow`.
"""

from __future__ import annotations

from lambdad.wire.http import BodyFlow

WINDOW = 1024 * 1024
"""Bytes in flight for each stream, and at most one read of a socket beyond it. Enough for a fast reader far away."""


class StreamWindow:
    """Bytes in flight of one stream."""

    __slots__ = ("_flow", "_held", "in_flight")

    def __init__(self, flow: BodyFlow) -> None:
        self._flow = flow
        self._held = False
        self.in_flight = 0

    def sent(self, size: int) -> None:
        """A piece was sent towards the caller."""
        self.in_flight += size
        if self.in_flight >= WINDOW and not self._held:
            self._held = True
            self._flow.pause()

    def credited(self, size: int) -> None:
        """The caller has passed bytes on; more than were in flight is taken as all of them."""
        self.in_flight = max(0, self.in_flight - size)
        if self._held and self.in_flight <= WINDOW // 2:
            self._held = False
            self._flow.resume()
