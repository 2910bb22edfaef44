"""Rpm packages and metadata with any bytes changed: read, or one `PackError`; nothing outside of the tree."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.pack.rpms import link, make_rpm, package_xml, primary_xml, regular

from lambdad.pack.errors import PackError
from lambdad.pack.rpm_file import read_header, unpack
from lambdad.pack.rpm_metadata import parse_primary
from lambdad.pack.rpm_version import compare_parts

FILES = {"/usr/bin/tool": regular("x" * 300, 0o755), "/usr/bin/t": link("tool"), "/etc/tool/conf": regular("y")}
PACKAGES = [make_rpm("tool", FILES, compressor=name, digest="") for name in ("none", "gzip", "xz", "zstd")]
LIST = primary_xml(package_xml("tool", b"x", requires=["lib EQ 1-1"], files=["/usr/bin/tool"]))
EDITS = st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)
VERSIONS = st.text(st.sampled_from("0123456789ab.~^_-"), max_size=12)


def edited(data: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(data)
    for at, piece in edits:
        start = at % len(changed)
        changed[start : start + len(piece)] = piece
    return bytes(changed)


@settings(max_examples=150, deadline=None)
@given(package=st.sampled_from(PACKAGES), edits=EDITS)
@example(package=PACKAGES[0], edits=[(156, b"\x01")])  # a name without a value
def test_a_damaged_package_is_refused_or_stays_in_its_tree(package: bytes, edits: list[tuple[int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "package.rpm").write_bytes(edited(package, edits))
        (directory / "tree").mkdir()
        with contextlib.suppress(PackError):
            unpack(directory / "package.rpm", read_header(directory / "package.rpm"), directory / "tree")
        assert sorted(path.name for path in directory.iterdir()) == ["package.rpm", "tree"]


@settings(max_examples=150, deadline=None)
@given(edits=EDITS)
def test_a_damaged_list_is_read_or_refused(edits: list[tuple[int, bytes]]) -> None:
    with contextlib.suppress(PackError):
        parse_primary([edited(LIST, edits)], frozenset({"x86_64"}))


@given(one=VERSIONS, two=VERSIONS)
def test_the_order_of_versions_has_two_sides(one: str, two: str) -> None:
    assert compare_parts(one, two) == -compare_parts(two, one)
    assert compare_parts(one, one) == 0
