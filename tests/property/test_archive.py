"""Archives of every shape: what is accepted arrives byte for byte inside of its directory, the rest is refused."""

from __future__ import annotations

import io
import os
import random
import stat
import tempfile
import warnings
import zipfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.layers.archive import ArchiveError, extract, inspect

LIMIT = 1_000_000

_parts = st.sampled_from(["a", "b", "c", "d", "a", "b", "c", "d", "..", ".", "", "ü", "d\\e"])
_names = st.lists(_parts, min_size=1, max_size=5).map("/".join)
_kinds = st.sampled_from([0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO])
_entries = st.lists(
    st.tuples(_names, _kinds, st.integers(0, 0o7777), st.one_of(_names, st.text(max_size=20)), st.sampled_from([0, 3])),
    max_size=8,
)


def zipped(entries: list[tuple[str, int, int, str, int]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, kind, mode, content, host in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = host
            info.external_attr = (kind | mode) << 16
            archive.writestr(info, content.encode(errors="surrogatepass"), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def try_both(data: bytes, root: Path) -> bool:
    """Whether the archive is accepted, on which `inspect` and `extract` must agree; then the tree is checked."""
    source, tree = root / "code.zip", root / "tree"
    source.write_bytes(data)
    tree.mkdir()
    before = sorted(os.listdir(root))
    try:
        info = inspect(data, LIMIT)
    except ArchiveError:
        info = None
    try:
        assert extract(source, tree, LIMIT) == info
    except ArchiveError:
        assert info is None
    assert sorted(os.listdir(root)) == before
    check_tree(tree)
    return info is not None


def check_tree(tree: Path) -> None:
    """Nothing but plain files, open directories, and links that stay inside or belong to the sandbox."""
    top = os.path.realpath(tree)
    for folder, directories, files in os.walk(tree):
        for name in directories + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)
            assert status.st_uid == os.getuid()
            assert stat.S_ISLNK(status.st_mode) or not status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
            if stat.S_ISLNK(status.st_mode) and not os.readlink(path).startswith("/"):
                real = os.path.realpath(path)
                assert real == top or real.startswith((top + "/", "/opt", "/var", "/tmp", "/mnt"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_entries)
def test_no_archive_leaves_its_directory(entries: list[tuple[str, int, int, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings(action="ignore"):
        try_both(zipped(entries), Path(root))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.binary(max_size=5000), min_size=1), st.booleans())
def test_what_was_put_in_comes_out(files: dict[str, bytes], compressed: bool) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(f"dir/{name}", content)
    with tempfile.TemporaryDirectory() as root:
        assert try_both(buffer.getvalue(), Path(root))
        directory = Path(root) / "tree" / "dir"
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == files


BASE = zipped(
    [
        ("a/b", stat.S_IFREG, 0o644, "content " * 50, 3),
        ("a/link", stat.S_IFLNK, 0o777, "b", 3),
        ("c/", stat.S_IFDIR, 0o755, "", 3),
        ("d", 0, 0, "x", 0),
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_damaged_archives_are_refused_or_harmless(seed: int, changes: int) -> None:
    """Bytes are overwritten, cut out and doubled; only ArchiveError may come of it."""
    chance = random.Random(seed)
    data = bytearray(BASE)
    for _ in range(changes):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                del data[place : place + chance.randrange(1, 30)]
            case 2:
                data[place:place] = data[place : place + chance.randrange(1, 60)]
            case _:
                data[place : place + 4] = chance.choice(
                    [b"\xff\xff\xff\xff", b"\0\0\0\0", b"PK\x01\x02", b"PK\x05\x06"]
                )
    with tempfile.TemporaryDirectory() as root:
        try_both(bytes(data), Path(root))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        assert not try_both(data + b"PK\x05\x06" + data, Path(root))


def test_a_bomb_is_refused_by_its_claims_without_being_unpacked() -> None:
    """A gigabyte of zeros in a megabyte, the honest kind."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(8):
            archive.writestr(str(number), bytes(32 * 1024 * 1024))
    try:
        inspect(buffer.getvalue(), 250 * 1024 * 1024)
    except ArchiveError as error:
        assert str(error) == "Unzipped size must be smaller than 262144000 bytes"
    else:
        raise AssertionError("the bomb was accepted")
