"""A layer's bytes, uncompressed: gzip, zstd or plain, told apart by their first bytes.

Memory is bounded whatever the stream says: pieces of at most `PIECE` bytes, zstd windows of at most 128 MiB.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import zstandard
from isal import isal_zlib

from lambdad.image.errors import InvalidImage

PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_GZIP_WRAPPED = 31
"""zlib's number for the largest window with a gzip header. ISA-L inflates about twice as fast as zlib."""
_IsalError = cast("type[Exception]", isal_zlib.error)
"""Its type stub calls the class an instance."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""Behind a first byte of 0x50 to 0x5f."""
_ZSTD_WINDOW_MAX = 1 << 27
"""Bytes of history that a zstd frame may ask for: what `zstd --long=27` makes, the most that other tools accept."""


def decompressed(stream: io.RawIOBase | io.BufferedReader[Any]) -> Iterator[bytes]:
    """Pieces of the uncompressed stream. Raises InvalidImage for a damaged or cut one.

    A file is given as its buffered reader, which its owner closes: one made here would be gone before the file is.
    """
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream, PIECE)
    head = buffered.peek(4)[:4]
    if head.startswith(_GZIP):
        return _gunzip(buffered)
    if head == _ZSTD or head[1:] == _ZSTD_SKIPPABLE:
        return _unzstd(buffered)
    return iter(lambda: buffered.read(PIECE), b"")


def _gunzip(stream: io.BufferedReader[io.RawIOBase]) -> Iterator[bytes]:
    """All members of a gzip stream; zero bytes after the last one are padding."""
    data = stream.read(PIECE)
    member = isal_zlib.decompressobj(_GZIP_WRAPPED)
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
                data, member, fresh = member.unused_data, isal_zlib.decompressobj(_GZIP_WRAPPED), True
            if not data:
                data = stream.read(PIECE)
    except _IsalError as error:
        raise InvalidImage(f"a layer's gzip stream is damaged: {error}") from None
    if not fresh:
        raise InvalidImage("a layer's gzip stream ends in the middle: the archive was cut")


def _unzstd(stream: io.BufferedReader[io.RawIOBase]) -> Iterator[bytes]:
    """All frames of a zstd stream. A cut is not visible here; the digests and the tar reader see it."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
    try:
        with decompressor.stream_reader(stream, read_across_frames=True) as reader:
            while piece := reader.read(PIECE):
                yield piece
    except zstandard.ZstdError as error:
        raise InvalidImage(f"a layer's zstd stream is damaged: {error}") from None
