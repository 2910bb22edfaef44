"""Which chunks a start reads, in order: recorded once, prefetched by the next start, drawn by `lambdad image heat`.

A trace is a hint and nothing else: a wrong one costs bandwidth. File, little-endian: magic `LBDTRAC` and a line feed,
version 1 (2 bytes), 2 bytes of zeros, count (4), SHA-256 of the manifest (32); then per chunk its position (4) and the
milliseconds since the first read (4), in order of first read, each position once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from lambdad.model.clock import Clock

TRACE_MAX = 65_536
"""Chunks in a trace: 32 GiB of image; a start that reads more is not a start."""

_MAGIC = b"LBDTRAC\n"
_HEADER = struct.Struct("<8sHHI32s")
_ENTRY = struct.Struct("<II")


class TraceInvalid(Exception):
    """The bytes are not a trace of this image."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """at_ms: milliseconds since the first read of the start."""

    position: int
    at_ms: int


class TraceRecorder:
    """Observes a reader until `finish`. Bounded: the first `limit` chunks."""

    def __init__(self, clock: Clock, limit: int = TRACE_MAX) -> None:
        self._clock = clock
        self._limit = limit
        self._first: float | None = None
        self._entries: dict[int, int] = {}

    @property
    def age(self) -> float:
        """Seconds since the first read; 0.0 before it."""
        return 0.0 if self._first is None else self._clock.monotonic() - self._first

    def on_read(self, position: int) -> None:
        if position in self._entries or len(self._entries) >= self._limit:
            return
        now = self._clock.monotonic()
        if self._first is None:
            self._first = now
        self._entries[position] = min(int((now - self._first) * 1000), 2**32 - 1)

    def on_miss(self, position: int) -> None:
        """A position is noted when the wait begins: what is waited for together is fetched together next time."""
        self.on_read(position)

    def on_loaded(self, position: int) -> None:
        return

    def entries(self) -> tuple[TraceEntry, ...]:
        return tuple(TraceEntry(position, at_ms) for position, at_ms in self._entries.items())


def is_worth_saving(known: Sequence[int], read: Sequence[int]) -> bool:
    """Whether a start read so much that the saved trace does not tell (a tenth more) that it should be replaced."""
    return len(set(read) - set(known)) > len(known) // 10


def encode_trace(entries: tuple[TraceEntry, ...], manifest_digest: str) -> bytes:
    """manifest_digest: hexadecimal."""
    header = _HEADER.pack(_MAGIC, 1, 0, len(entries), bytes.fromhex(manifest_digest))
    return header + b"".join(_ENTRY.pack(entry.position, entry.at_ms) for entry in entries)


def parse_trace(data: bytes, manifest_digest: str, positions: int) -> tuple[TraceEntry, ...]:
    """positions: of the image. Raises `TraceInvalid`."""
    if len(data) < _HEADER.size:
        raise TraceInvalid("too short")
    magic, version, reserved, count, digest = _HEADER.unpack_from(data)
    if (magic, version, reserved) != (_MAGIC, 1, 0) or digest.hex() != manifest_digest:
        raise TraceInvalid("not a trace of this image")
    if count > TRACE_MAX or len(data) != _HEADER.size + count * _ENTRY.size:
        raise TraceInvalid("the length does not match the count")
    entries = tuple(TraceEntry(*pair) for pair in _ENTRY.iter_unpack(data[_HEADER.size :]))
    if any(entry.position >= positions for entry in entries):
        raise TraceInvalid("a position beyond the image")
    return entries
