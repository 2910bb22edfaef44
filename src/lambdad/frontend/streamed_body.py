"""A streamed response on its way from a sandbox to a client, at the client's pace.

What the client cannot take yet is held here, and is not credited to the function; the function is held back before
that grows beyond its window (`worker.stream`). A client that leaves changes nothing for the function: its pieces are
credited and dropped. Pure: no loop, no task.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from lambdad.wire.http import BodyWriter
from lambdad.worker.interface import Credit

CREDIT_STEP = 128 * 1024
"""Credit is given in steps of so many bytes, an eighth of the window: a message for each piece would cost too much."""


class _Ending(Enum):
    COMPLETE = "complete"
    CUT = "cut"


class StreamedBody:
    """Implements `BodySource`. credit: see `StreamSink.opened`."""

    __slots__ = ("_clear", "_credit", "_ending", "_held", "_lost", "_owed", "_writer")

    def __init__(self, credit: Credit) -> None:
        self._credit = credit
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
        held = sum(size for _, size in self._held)
        self._held.clear()
        self.drop(held)

    def _flush(self) -> None:
        writer = self._writer
        if writer is None:
            return
        while self._held and self._clear:
            data, size = self._held.popleft()
            self._clear = writer.write(data)
            self.drop(size)
        if self._held or self._ending is None:
            return
        self._writer = None
        if self._ending is _Ending.COMPLETE:
            writer.end()
        else:
            writer.abort()
