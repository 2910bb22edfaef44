"""Compressed layers: every kind, members and frames in a row, damage and cuts."""

from __future__ import annotations

import gzip
import io
import os
import random

import pytest
import zstandard

from lambdad.image.decompress import PIECE, decompressed
from lambdad.image.errors import InvalidImage


class Raw(io.BytesIO):
    """A raw stream that answers with less than it was asked for, as sockets do."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return super().readinto(memoryview(buffer)[:70_001])


def expand(data: bytes) -> bytes:
    pieces = list(decompressed(Raw(data)))  # type: ignore[arg-type]
    assert max(map(len, pieces), default=0) <= PIECE
    return b"".join(pieces)


DATA = random.Random(5).randbytes(300_000) + bytes(3 * PIECE) + b"end" * 99_999


@pytest.mark.parametrize(
    "packed",
    [
        DATA,
        gzip.compress(DATA),
        gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]),
        gzip.compress(DATA) + bytes(5000),
        zstandard.compress(DATA),
        zstandard.compress(DATA[:1000]) + zstandard.compress(DATA[1000:]),
        b"\x50\x2a\x4d\x18\x04\0\0\0skip" + zstandard.compress(DATA),
    ],
    ids=["plain", "gzip", "gzip-members", "gzip-padded", "zstd", "zstd-frames", "zstd-skippable"],
)
def test_every_kind_of_layer_gives_its_bytes_in_bounded_pieces(packed: bytes) -> None:
    assert expand(packed) == DATA


@pytest.mark.parametrize("length", [*range(40), 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1])
def test_lengths_around_the_piece_and_nothing_at_all(length: int) -> None:
    data = os.urandom(min(length, 50)) + bytes(max(length - 50, 0))
    assert expand(gzip.compress(data)) == data


def test_a_cut_or_flipped_gzip_stream_is_an_invalid_image() -> None:
    packed = gzip.compress(DATA)
    for cut in (1, 4, 8, 9, 1000):
        with pytest.raises(InvalidImage, match=r"cut|damaged"):
            expand(packed[:-cut])
    with pytest.raises(InvalidImage, match="damaged"):
        expand(packed[:-8] + b"\0\0\0\0" + packed[-4:])


def test_a_zstd_frame_that_wants_too_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packed.compress(DATA) + packed.flush()
    with pytest.raises(InvalidImage, match="zstd"):
        expand(data)
