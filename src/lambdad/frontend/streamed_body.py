"""A streamed response on its way from a sandbox to a client, at the client's pace.

What the client cannot take yet is held here, and is not credited to the function; the function is held back before
that grows beyond its window (`worker.stream`). A client that leaves changes nothing for the function: its pieces are
credited and dropped. Where there is a `Pace`, a piece is held until it may go. No task.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from lambdad.frontend.pace import Pace, Timer
from lambdad.wire.http import BodyWriter
from lambdad.worker.interface import Credit

CREDIT_STEP = 128 * 1024
"""Credit is given in steps of so many bytes, an eighth of the window: a message for each piece would cost too much."""


class _Ending(Enum):
    COMPLETE = "complete"
    CUT = "cut"


class StreamedBody:
    """Implements `BodySource`. credit: see `StreamSink.opened`. pace: None for none."""

    __slots__ = ("_clear", "_credit", "_ending", "_held", "_lost", "_owed", "_pace", "_pacer", "_timer", "_writer")

    def __init__(self, credit: Credit, pace: Pace | None = None) -> None:
        self._credit = credit
        self._pace = pace
        self._pacer = None if pace is None else pace.pacer()
        self._timer: Timer | None = None
        """While the first held piece waits for its time."""
        self._writer: BodyWriter | None = None
        self._held: deque[tuple[bytes, int]] = deque()
        self._owed = 0
        self._clear = True
        self._lost = False
        self._ending: _Ending | None = None

    @property
    def held(self) -> int:
        """Bytes that wait for the client."""
        return sum(len(data) for data, _ in self._held)

    # -- from the sandbox

    def push(self, data: bytes, size: int) -> None:
        """Send `data`, which stands for `size` bytes of the function's."""
        if self._lost:
            self.drop(size)
            return
        self._held.append((data, size))
        self._flush()

    def drop(self, size: int) -> None:
        """Credit bytes of the function's that nobody will be sent."""
        self._owed += size
        if self._owed >= CREDIT_STEP:
            owed, self._owed = self._owed, 0
            self._credit(owed)

    def end(self, last: bytes = b"") -> None:
        """The response is complete with `last`."""
        if not self._lost:
            self._held.append((last, 0))
            self._ending = _Ending.COMPLETE
            self._flush()

    def cut(self) -> None:
        """The response cannot be completed: the connection ends after what was sent before."""
        self._ending = _Ending.CUT
        self._flush()

    # -- from the client's connection

    def open(self, writer: BodyWriter) -> None:
        self._writer = writer
        self._flush()

    def drained(self) -> None:
        self._clear = True
        self._flush()

    def lost(self) -> None:
        self._writer = None
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held = sum(size for _, size in self._held)
        self._held.clear()
        self.drop(held)

    def _flush(self) -> None:
        writer = self._writer
        if writer is None:
            return
        while self._held and self._clear and not self._must_wait():
            self._write(writer)
        if self._held or self._ending is None:
            return
        self._writer = None
        if self._ending is _Ending.COMPLETE:
            writer.end()
        else:
            writer.abort()

    def _write(self, writer: BodyWriter) -> None:
        data, size = self._held.popleft()
        self._clear = writer.write(data)
        self.drop(size)

    def _must_wait(self) -> bool:
        """Whether the next piece is not to go yet; it goes by itself when it is its time."""
        if self._pace is None or self._pacer is None:
            return False
        if self._timer is None:
            delay = self._pacer.delay(self._held[0][1], self._pace.clock())
            if delay <= 0:
                return False
            self._timer = self._pace.call_later(delay, self._go_on)
        return True

    def _go_on(self) -> None:
        """The time of the first held piece has come."""
        self._timer = None
        if self._writer is not None and self._held:
            self._write(self._writer)
            self._flush()
