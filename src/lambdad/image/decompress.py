"""A layer's bytes, uncompressed: gzip, zstd or plain, told apart by their first bytes.

Memory is bounded whatever the stream says: pieces of at most `PIECE` bytes, zstd windows of at most 128 MiB.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from lambdad.image.errors import InvalidImage

PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = (b"\x18\x4d\x2a", 1)
_ZSTD_WINDOW_MAX = 1 << 27
"""Bytes of history that a zstd frame may ask for: what `zstd --long=27` makes, the most that other tools accept."""


def decompressed(stream: BinaryIO) -> Iterator[bytes]:
    """Pieces of the uncompressed stream. Raises InvalidImage for a damaged or cut one."""
    head = stream.read(PIECE)
    if head.startswith(_GZIP):
        return _gunzip(head, stream)
    if head.startswith(_ZSTD) or head[_ZSTD_SKIPPABLE[1] : 4] == _ZSTD_SKIPPABLE[0]:
        return _unzstd(head, stream)
    return _plain(head, stream)


def _plain(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    while head:
        yield head
        head = stream.read(PIECE)


def _gunzip(data: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """All members of a gzip stream; zero bytes after the last one are padding."""
    member = zlib.decompressobj(31)
    fresh = False
    try:
        while data:
            if fresh and not data.strip(b"\0"):
                data = stream.read(PIECE)
                continue
            fresh = False
            piece = member.decompress(data, PIECE)
            if piece:
                yield piece
            data = member.unconsumed_tail
            if member.eof:
                data, member, fresh = member.unused_data, zlib.decompressobj(31), True
            if not data:
                data = stream.read(PIECE)
    except zlib.error as error:
        raise InvalidImage(f"a layer's gzip stream is damaged: {error}") from None
    if not fresh:
        raise InvalidImage("a layer's gzip stream ends in the middle: the archive was cut")


class _Chained:
    """The bytes already read, then the stream: what `zstandard` reads from."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._stream.read(size if size > 0 else PIECE)
        if size < 0:
            size = len(self._head)
        piece, self._head = self._head[:size], self._head[size:]
        return piece


def _unzstd(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """All frames of a zstd stream. A cut is not visible here; the digests and the tar reader see it."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
    try:
        with decompressor.stream_reader(_Chained(head, stream), read_across_frames=True) as reader:
            while piece := reader.read(PIECE):
                yield piece
    except zstandard.ZstdError as error:
        raise InvalidImage(f"a layer's zstd stream is damaged: {error}") from None
