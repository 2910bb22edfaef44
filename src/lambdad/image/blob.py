"""A layer as a blob: checked against every digest that names it while it is read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from lambdad.image.decompress import PIECE, decompressed
from lambdad.image.errors import InvalidImage
from lambdad.image.limits import Limits
from lambdad.image.reference import Digest
from lambdad.image.tar import TarReader


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class CheckedStream(io.RawIOBase):
    """A stream that must have a digest and a size. Raises InvalidImage as soon as it is longer than it should be."""

    def __init__(self, stream: BinaryIO, digest: Digest | None, size: int | None) -> None:
        self._stream = stream
        self._digest = digest
        self._size = size
        self._hash = hashlib.new(digest.algorithm) if digest else None
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._read += len(data)
        if self._size is not None and self._read > self._size:
            raise InvalidImage(f"the blob {self._digest} is longer than the {self._size} bytes that its manifest says")
        if self._hash is not None:
            self._hash.update(data)
        buffer[: len(data)] = data
        return len(data)

    def finish(self) -> None:
        """Read to the end. Raises InvalidImage if size or digest are others than promised."""
        buffer = memoryview(bytearray(PIECE))
        while self.readinto(buffer):
            pass
        if self._size is not None and self._read != self._size:
            raise InvalidImage(f"the blob {self._digest} has {self._read} bytes; its manifest says {self._size}")
        if self._digest is not None and self._hash is not None and self._hash.hexdigest() != self._digest.hex:
            raise InvalidImage(f"a blob is not what its digest {self._digest} says: the archive or registry is damaged")


def _hashed(pieces: Iterator[bytes], digest: _Hash) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


@contextmanager
def read_layer(
    stream: BinaryIO, limits: Limits, *, digest: Digest | None, size: int | None, diff_id: Digest | None
) -> Iterator[TarReader]:
    """A reader of the layer in `stream`; on leaving, everything that was promised about it has been checked.

    digest, size: of the stream. diff_id: digest of what it is uncompressed.
    """
    checked = CheckedStream(stream, digest, size)
    plain = hashlib.new(diff_id.algorithm) if diff_id else hashlib.sha256()
    try:
        yield TarReader(_hashed(decompressed(checked), plain), limits)
    except InvalidImage:
        checked.finish()
        raise
    checked.finish()
    if diff_id is not None and plain.hexdigest() != diff_id.hex:
        raise InvalidImage(f"a layer is not what the image's config says: expected {diff_id}, got {plain.hexdigest()}")
