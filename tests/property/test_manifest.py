"""The parsers of manifests and traces never raise anything but their own errors, and never accept what was changed."""

from __future__ import annotations

import contextlib
import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.block.trace import TraceInvalid, parse_trace
from lambdad.chunks.codec import Tails
from lambdad.chunks.interface import ChunkName
from lambdad.chunks.manifest import (
    FileSystem,
    ImageShape,
    ManifestInvalid,
    Row,
    open_manifest,
    parse_manifest,
    seal_manifest,
)
from lambdad.chunks.roots import RootsInvalid, parse_root

KEY = bytes(range(32))


@st.composite
def manifests(draw: st.DrawFn) -> tuple[ImageShape, list[Row], bytes]:
    chunk_size = 1 << draw(st.integers(12, 24))
    size = draw(st.integers(0, 40 * chunk_size))
    shape = ImageShape(
        size=size,
        chunk_size=chunk_size,
        file_system=draw(st.sampled_from(FileSystem)),
        tails=draw(st.sampled_from(Tails)),
    )
    positions = sorted(draw(st.sets(st.integers(0, shape.positions - 1), max_size=20))) if shape.positions else []
    rows = [
        Row(
            position,
            draw(st.integers(1, shape.length_at(position))),
            ChunkName(_digest(position)),
            _digest(-position - 1),
        )
        for position in positions
    ]
    return shape, rows, seal_manifest(shape, rows, key=KEY, key_name="k", context="c")


def _digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@settings(deadline=None)
@given(manifests())
def test_what_was_sealed_is_what_is_opened(case: tuple[ImageShape, list[Row], bytes]) -> None:
    shape, rows, data = case
    manifest = open_manifest(data, KEY, key_name="k", context="c", digest=hashlib.sha256(data).hexdigest())
    assert manifest.shape == shape
    assert list(manifest.rows()) == rows
    assert {position for position in range(shape.positions) if manifest.has(position)} == {row.position for row in rows}


@settings(deadline=None)
@given(manifests(), st.data())
def test_a_changed_manifest_is_never_opened(case: tuple[ImageShape, list[Row], bytes], data: st.DataObject) -> None:
    _, _, sealed = case
    changed = bytearray(sealed)
    changed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        open_manifest(bytes(changed), KEY)
    except ManifestInvalid:
        return
    raise AssertionError("a changed manifest was opened")


@settings(deadline=None)
@given(manifests(), st.data())
def test_the_parser_raises_only_its_own_error(case: tuple[ImageShape, list[Row], bytes], data: st.DataObject) -> None:
    """Starting from a good file, so that the fuzz gets past the first check."""
    _, _, sealed = case
    start = data.draw(st.integers(0, len(sealed)))
    patch = data.draw(st.binary(max_size=60))
    for mutant in (sealed[:start] + patch + sealed[start + len(patch) :], sealed[:start], sealed + patch, patch):
        try:
            index = parse_manifest(mutant)
        except ManifestInvalid:
            continue
        assert len(list(index.names())) == index.count
        assert index.stored_bytes() <= index.shape.size


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 100))
def test_the_trace_parser_raises_only_its_own_error(data: bytes, positions: int) -> None:
    for candidate in (data, b"LBDTRAC\n\x01\0\0\0" + data):
        try:
            entries = parse_trace(candidate, "ab" * 32, positions)
        except TraceInvalid:
            continue
        assert all(entry.position < positions for entry in entries)


@settings(deadline=None)
@given(st.binary(max_size=100) | st.text().map(str.encode))
def test_the_parser_of_roots_raises_only_its_own_error(data: bytes) -> None:
    with contextlib.suppress(RootsInvalid):
        assert parse_root("r1", data).id == "r1"
