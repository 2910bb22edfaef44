"""The image's bytes on their way out: in order, in large pieces, holes as a shared block of zeros."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from lambdad.image.errors import ImageError

PIECE = 1 << 20
"""Bytes of the pieces in which an image is written."""
ZEROS = bytes(PIECE)
"""What holes are written from: a sink may recognise slices of it by their bytes and store nothing."""


class Sink(Protocol):
    """Where an image goes. `data` is valid during the call only; all of it must be taken."""

    def write(self, data: memoryview, /) -> object: ...


class ImageOutput:
    """Sequential writing with a known position. advance: called with the position after each piece; may raise."""

    def __init__(self, sink: Sink, spool: int, advance: Callable[[int], None]) -> None:
        self._sink = sink
        self._spool = spool
        self._advance = advance
        self._buffer = bytearray(PIECE)
        self._view = memoryview(self._buffer)
        self._used = 0
        self._flushed = 0

    @property
    def position(self) -> int:
        """Bytes of the image so far."""
        return self._flushed + self._used

    def write(self, data: bytes | bytearray) -> None:
        at = 0
        while at < len(data):
            room = min(PIECE - self._used, len(data) - at)
            self._view[self._used : self._used + room] = data[at : at + room]
            self._used += room
            at += room
            if self._used == PIECE:
                self.flush()

    def copy(self, offset: int, size: int) -> None:
        """Write `size` bytes of the spool from `offset`."""
        while size:
            room = min(PIECE - self._used, size)
            got = os.preadv(self._spool, (self._view[self._used : self._used + room],), offset)
            if got == 0:
                raise ImageError("the build's spool file is shorter than it was: was it changed from outside?")
            self._used += got
            offset += got
            size -= got
            if self._used == PIECE:
                self.flush()

    def seek(self, position: int) -> None:
        """Zeros up to `position`."""
        missing = position - self.position
        assert missing >= 0, f"the plan goes back from {self.position} to {position}"
        room = min(PIECE - self._used, missing)
        if self._used:
            self._view[self._used : self._used + room] = ZEROS[:room]
            self._used += room
            missing -= room
            if self._used == PIECE:
                self.flush()
        zeros = memoryview(ZEROS)
        while missing >= PIECE:
            self._sink.write(zeros)
            self._flushed += PIECE
            missing -= PIECE
            self._advance(self._flushed)
        if missing:
            self._view[self._used : self._used + missing] = ZEROS[:missing]
            self._used += missing

    def flush(self) -> None:
        if self._used:
            self._sink.write(self._view[: self._used])
            self._flushed += self._used
            self._used = 0
            self._advance(self._flushed)
