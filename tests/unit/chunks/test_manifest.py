"""docs/formats/manifest.md: what is in the bytes, what is refused."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import pytest

from lambdad.chunks.codec import Tails
from lambdad.chunks.interface import ChunkName
from lambdad.chunks.manifest import (
    FileSystem,
    ImageShape,
    ManifestInvalid,
    ManifestKeyWrong,
    Row,
    key_id_digest,
    open_manifest,
    parse_manifest,
    seal_manifest,
)

KEY = bytes(range(32))
SHAPE = ImageShape(size=10 * 524_288 + 100, chunk_size=524_288, file_system=FileSystem.EROFS)


def make_row(position: int, length: int = 4096) -> Row:
    seed = str(position).encode()
    return Row(position, length, ChunkName(hashlib.sha256(b"n" + seed).digest()), hashlib.sha256(b"k" + seed).digest())


ROWS = [make_row(0, 524_288), make_row(3), make_row(7, 1), make_row(10, 100)]


def seal(shape: ImageShape = SHAPE, rows: list[Row] | None = None, key: bytes = KEY, context: str = "what") -> bytes:
    return seal_manifest(shape, ROWS if rows is None else rows, key=key, key_name="function-1", context=context)


def test_an_opened_manifest_has_what_was_sealed() -> None:
    manifest = open_manifest(seal(), KEY, key_name="function-1", context="what")
    assert manifest.shape == SHAPE
    assert list(manifest.rows()) == ROWS
    assert [manifest.row(position) for position in (0, 1, 3, 7, 10)] == [ROWS[0], None, *ROWS[1:]]
    assert [manifest.has(position) for position in (0, 1)] == [True, False]


def test_names_can_be_read_without_a_key_and_keys_cannot() -> None:
    data = seal()
    index = parse_manifest(data)
    assert list(index.names()) == [row.name for row in ROWS]
    assert index.stored_bytes() == sum(row.length for row in ROWS)
    assert index.digest == hashlib.sha256(data).hexdigest()
    assert index.key_id == key_id_digest("function-1")
    assert all(row.name in data and row.key not in data for row in ROWS)


def test_the_layout_is_the_documented_one() -> None:
    data = seal()
    assert len(data) == 112 + 72 * len(ROWS) + 16
    assert data[:16] == b"LMBDMAN\n" + struct.pack("<HHBBBB", 1, 112, 1, 19, 2, 1)
    assert struct.unpack_from("<QII", data, 16) == (SHAPE.size, len(ROWS), 0)
    assert data[64:96] == hashlib.sha256(b"what").digest()
    assert data[112:152] == struct.pack("<II", 0, 524_288) + ROWS[0].name


def test_sealing_is_deterministic_and_depends_on_everything() -> None:
    assert seal() == seal()
    variants = [
        seal(),
        seal(replace(SHAPE, tails=Tails.KEEP)),
        seal(replace(SHAPE, file_system=FileSystem.EXT4)),
        seal(rows=ROWS[:-1]),
        seal(key=bytes(32)),
        seal(context="else"),
    ]
    nonces = {data[96:108] for data in variants}
    assert len(nonces) == len(variants)


def test_a_full_image_of_16_gib_takes_at_most_96_bytes_a_chunk() -> None:
    shape = ImageShape(size=16 * 2**30, chunk_size=524_288)
    rows = [Row(position, 4096, ChunkName(bytes(32)), bytes(32)) for position in range(shape.positions)]
    size = len(seal(shape, rows))
    assert size <= 96 * len(rows)
    assert size <= shape.size * 0.0002


def test_every_changed_byte_and_every_cut_is_refused() -> None:
    data = seal()
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 0x40
        with pytest.raises(ManifestInvalid):
            open_manifest(bytes(changed), KEY)
        with pytest.raises(ManifestInvalid):
            open_manifest(data[:index], KEY)
    with pytest.raises(ManifestInvalid, match="extended"):
        open_manifest(data + b"\0", KEY)


def test_another_key_is_refused_with_an_error_of_its_own() -> None:
    with pytest.raises(ManifestKeyWrong, match="wrong key"):
        open_manifest(seal(), bytes(32))
    with pytest.raises(ManifestKeyWrong, match="another key"):
        open_manifest(seal(), KEY, key_name="function-2")
    with pytest.raises(ManifestKeyWrong, match="32 bytes"):
        open_manifest(seal(), b"short")


def test_an_authentic_manifest_in_the_place_of_another_is_refused() -> None:
    old, new = seal(rows=ROWS[:2]), seal()
    with pytest.raises(ManifestInvalid, match="replayed"):
        open_manifest(old, KEY, digest=parse_manifest(new).digest)
    with pytest.raises(ManifestInvalid, match="something else"):
        open_manifest(old, KEY, context="another function")


@pytest.mark.parametrize(
    ("offset", "layout", "value", "reason"),
    [
        (0, "<8s", b"LMBDMAN\r", "start"),
        (8, "<H", 2, "newer"),
        (10, "<H", 111, "newer"),
        (12, "<B", 2, "newer"),
        (13, "<B", 11, "chunk size"),
        (13, "<B", 25, "chunk size"),
        (13, "<B", 255, "chunk size"),
        (14, "<B", 3, "file system"),
        (15, "<B", 2, "reserved"),
        (16, "<Q", 2**44 + 1, "image size"),
        (16, "<Q", 524_288, "more chunks"),
        (24, "<I", 2**32 - 1, "cut off"),
        (28, "<I", 1, "reserved"),
        (108, "<I", 1, "reserved"),
        (112, "<I", 9, "out of order"),
        (116, "<I", 0, "length"),
        (116, "<I", 524_289, "length"),
        (112 + 3 * 40, "<I", 11, "beyond"),
        (112 + 3 * 40 + 4, "<I", 101, "length"),
    ],
)
def test_headers_and_rows_that_lie_are_refused_with_the_rule_they_break(
    offset: int, layout: str, value: object, reason: str
) -> None:
    data = bytearray(seal())
    struct.pack_into(layout, data, offset, value)
    with pytest.raises(ManifestInvalid, match=reason):
        parse_manifest(bytes(data))


def test_an_empty_image_and_an_image_of_zeros_are_images() -> None:
    for size in (0, 1, 10_000_000):
        manifest = open_manifest(seal(ImageShape(size=size, chunk_size=4096), []), KEY)
        assert manifest.shape.size == size
        assert list(manifest.rows()) == []


def test_rows_out_of_order_cannot_be_sealed() -> None:
    with pytest.raises(ManifestInvalid, match="out of order"):
        seal(rows=[ROWS[1], ROWS[0]])
