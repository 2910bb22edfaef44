"""Bytes of strangers: whatever they are, the readers answer with entries or with an ImageError, and soon."""

from __future__ import annotations

import io

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambdad.image.blob import read_layer
from lambdad.image.errors import ImageError
from lambdad.image.flatten import Flattener
from lambdad.image.limits import Limits
from lambdad.image.oci import parse_config, parse_manifest
from lambdad.image.reference import parse_reference
from lambdad.image.tree import Tree
from lambdad.testing.image_blobs import compress
from lambdad.testing.image_tar import LayerBuilder

LIMITS = Limits(content_bytes=1 << 20, entries=1000)
GOOD = (
    LayerBuilder()
    .directory("a", xattrs={"user.x": b"y"})
    .file("a/" + "n" * 150, b"z" * 700, mtime=1_000_000_001)
    .sparse("s", 100_000, [(0, b"1"), (50_000, b"2" * 600)])
    .hardlink("h", "s")
    .symlink("l", "t" * 200)
    .whiteout("a/gone")
    .opaque("a")
    .build()
)
EDITS = st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=12)), max_size=4)


def flatten(data: bytes) -> None:
    """Read a layer as the builder does; only an ImageError may come out."""
    try:
        with read_layer(io.BytesIO(data), LIMITS, digest=None, size=None, diff_id=None) as reader:
            Flattener(Tree(), io.BytesIO(), LIMITS).apply(reader, lambda: None)
    except ImageError as error:
        assert str(error)


def edited(data: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(data)
    for at, new in edits:
        at %= len(data)
        changed[at : at + len(new)] = new[: len(data) - at]
    return bytes(changed)


def checksummed(data: bytes) -> bytes:
    """With the checksum of every block made right, so that damage gets behind it."""
    blocks = bytearray(data)
    for at in range(0, len(blocks) - 511, 512):
        if blocks[at + 257 : at + 262] == b"ustar":
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = f"{sum(blocks[at : at + 512]):06o}\0 ".encode()
    return bytes(blocks)


@settings(max_examples=300, deadline=None)
@given(EDITS, st.integers(0, len(GOOD)))
@example([(124, b"\xff" * 12)], len(GOOD))
@example([(156, b"x")], len(GOOD))
def test_a_damaged_tar_is_read_or_refused(edits: list[tuple[int, bytes]], length: int) -> None:
    flatten(checksummed(edited(GOOD, edits))[:length])


@settings(max_examples=100, deadline=None)
@given(EDITS, st.sampled_from(["gzip", "zstd"]), st.integers(0, 400))
def test_a_damaged_compressed_layer_is_read_or_refused(edits: list[tuple[int, bytes]], kind: str, cut: int) -> None:
    packed = compress(GOOD, "gzip" if kind == "gzip" else "zstd")
    damaged = edited(packed, edits)
    flatten(damaged[: len(damaged) - cut] if cut < len(damaged) else b"")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_noise_is_no_layer(data: bytes) -> None:
    flatten(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["config", "layers", "manifests", "mediaType", "digest", "size", "platform", "rootfs", "Env",
                         "diff_ids", "architecture", "schemaVersion"]),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_a_document_or_an_error(document: object) -> None:
    try:
        data = orjson.dumps(document)
    except TypeError:
        return  # an integer or a surrogate that JSON of this library has not
    for parse in (
        lambda: parse_manifest(data, "application/vnd.oci.image.manifest.v1+json"),
        lambda: parse_config(data),
    ):
        try:
            parse()
        except ImageError as error:
            assert str(error)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_reference_that_prints_as_itself_or_an_error(text: str) -> None:
    try:
        found = parse_reference(text)
    except ImageError:
        return
    assert parse_reference(str(found)) == found


def test_a_compression_bomb_costs_no_more_than_the_limit() -> None:
    for kind in ("gzip", "zstd"):
        bomb = compress(LayerBuilder().file("f", bytes(40 << 20)).build(), "gzip" if kind == "gzip" else "zstd")
        with (
            pytest.raises(ImageError, match="more than 1048576 bytes"),
            read_layer(io.BytesIO(bomb), LIMITS, digest=None, size=None, diff_id=None) as reader,
        ):
            Flattener(Tree(), io.BytesIO(), LIMITS).apply(reader, lambda: None)
