"""The contract of block sources: a disk that can be read at any offset. They pass `lambdad.testing.conformance.block`.

A source does not know who reads it (FUSE, NBD, a test), and a server does not know what it serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class BlockError(Exception):
    """The bytes could not be had, or not be kept: EIO for whoever asked. The text says why."""


class NoSpace(BlockError):
    """There is no room for what was written: ENOSPC."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A stretch of a disk. is_zero: known to read as zeros without reading it."""

    length: int
    is_zero: bool


class BlockSource(Protocol):
    """A disk to read. Coroutines may be called concurrently and cancelled.

    size: bytes, fixed. Every range must lie inside it: `check_range` raises ValueError for a caller that errs.
    """

    @property
    def size(self) -> int: ...

    async def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises `BlockError`."""
        ...

    def peek(self, offset: int, length: int) -> Sequence[memoryview] | None:
        """The same bytes in pieces if they are in memory, without waiting; None if they must be fetched."""
        ...

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """The range as stretches, together exactly `length` bytes."""
        ...

    async def close(self) -> None:
        """Idempotent."""
        ...


class WritableSource(BlockSource, Protocol):
    """A disk to write to as well. A write that returned is seen by every later read."""

    async def write(self, offset: int, data: bytes) -> None:
        """Raises `BlockError`, `NoSpace`."""
        ...

    async def write_zeros(self, offset: int, length: int) -> None:
        """Like writing zeros, without storing them."""
        ...


def check_range(size: int, offset: int, length: int) -> None:
    """Raises ValueError unless the range lies inside the disk."""
    if offset < 0 or length < 0 or offset + length > size:
        raise ValueError(f"{length} bytes at {offset} are not inside a disk of {size} bytes")
