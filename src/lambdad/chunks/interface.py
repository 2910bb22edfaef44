"""The contract of chunk stores. Every store passes `lambdad.testing.conformance.chunks`.

A store maps the name of a chunk to its cipher text (docs/formats/chunk.md). It is not a key-value store for anything
else, and nobody trusts it: what `get` returns is what is kept under that name, and `verified.py` decides whether it is
the chunk, unless the store has looked itself and the tier says so. Missing and invalid are different errors, because
they call for different actions: a missing chunk is fetched from the next tier, an invalid one is fetched *and
repaired*.
"""

from __future__ import annotations

import hashlib
from typing import NewType, Protocol

ChunkName = NewType("ChunkName", bytes)
"""SHA-256 of the cipher text: 32 bytes."""

NAME_SIZE = 32


class ChunkError(Exception):
    """A chunk could not be had or kept. The subclasses say what to do about it."""


class ChunkMissing(ChunkError):
    """The store does not have the chunk: ask the next one."""

    def __init__(self, name: bytes, where: str) -> None:
        super().__init__(f"chunk {name.hex()} is not in {where}")
        self.name = name


class ChunkInvalid(ChunkError):
    """The store has something under this name, but it is not the chunk: ask the next one, then repair this one."""

    def __init__(self, name: bytes, where: str, reason: str) -> None:
        super().__init__(f"chunk {name.hex()} in {where} is damaged: {reason}")
        self.name = name


class StoreUnavailable(ChunkError):
    """The store did not answer, or answered with an error that may pass: nothing is known about the chunk."""


class StoreFull(ChunkError):
    """The store has no room for the chunk, and nothing to throw away for it."""


class Overloaded(ChunkError):
    """Too much is being asked already. Nothing was tried: come back later, or refuse the start that asked."""


def name_of(cipher_text: bytes) -> ChunkName:
    return ChunkName(hashlib.sha256(cipher_text).digest())


class ChunkStore(Protocol):
    """A place where chunks are.

    Belongs to one event loop; its coroutines may be called concurrently and cancelled at any await. Cancelling or
    failing leaves the store as it was or with the whole chunk, never with a part of it under its name.
    """

    async def get(self, name: ChunkName) -> bytes:
        """The bytes under `name`. Raises `ChunkMissing`, `ChunkInvalid` (what is there cannot be the chunk),
        `StoreUnavailable` or `Overloaded`.
        """
        ...

    async def has(self, name: ChunkName) -> bool:
        """Whether `get` would find something; a hint, not a promise. Raises `StoreUnavailable` or `Overloaded`."""
        ...

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        """Keep the bytes, in place of whatever is under the name. Idempotent.

        A cache may forget them at once; an origin has them safe when this returns. Raises `StoreFull`,
        `StoreUnavailable` or `Overloaded`.
        """
        ...

    async def close(self) -> None:
        """Give back files, sockets and threads. Idempotent; no other method may be called after it."""
        ...
