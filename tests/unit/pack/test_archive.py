"""Zips: the same bytes from the same content, links and modes kept; hostile ones refused."""

from __future__ import annotations

import os
import zipfile

import pytest

from lambdad.pack.archive import extract_zip, write_zip
from lambdad.pack.errors import PackError
from lambdad.pack.manifest import scan_tree


@pytest.fixture
def tree(tmp_path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/git").write_bytes(b"\x7fELF" * 1000)
    (tree / "bin/git").chmod(0o700)
    (tree / "bin/git-push").symlink_to("git")
    (tree / "readme").write_text("x")
    return tree


def test_times_and_order_do_not_matter(tree, tmp_path):
    write_zip(tree, scan_tree(tree), tmp_path / "a.zip")
    os.utime(tree / "readme", (1, 1))
    write_zip(tree, scan_tree(tree)[::-1], tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_links_and_modes_come_back(tree, tmp_path):
    write_zip(tree, scan_tree(tree), tmp_path / "a.zip")
    out = tmp_path / "out"
    out.mkdir()
    extract_zip(tmp_path / "a.zip", out)
    assert os.readlink(out / "bin/git-push") == "git"
    assert (out / "bin/git").stat().st_mode & 0o777 == 0o755
    assert (out / "readme").stat().st_mode & 0o777 == 0o644
    assert scan_tree(out) == scan_tree(tree)


def make_zip(path, entries, flags: int = 0) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode, data in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = mode << 16
            archive.writestr(info, data)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("../x", 0o100644, b"")], "leads out of the layer"),
        ([("/x", 0o100644, b"")], "absolute"),
        ([("a\\b", 0o100644, b"")], "backslashes"),
        ([("x", 0o020666, b"")], "devices"),
        ([("x", 0o120777, b"/etc"), ("x/passwd", 0o100644, b"")], "lies under x, which is a link"),
        ([("x", 0o100644, b""), ("x/y", 0o100644, b"")], "lies under x, which is a file"),
        ([("x", 0o100644, b""), ("./x", 0o100644, b"")], "twice"),
        ([("x/y", 0o100644, b""), ("x", 0o120777, b"/")], "twice"),
        ([("x", 0o120777, b"")], "without a target"),
        ([("x", 0o120777, b"a" * 5000)], "link target of 5000 bytes"),
        ([("x", 0o100644, b"a" * 2000)], "Unzipped size must be smaller than 1000 bytes"),
    ],
)
def test_what_must_not_be_unpacked_is_refused(tmp_path, entries, words):
    make_zip(tmp_path / "a.zip", entries)
    (tmp_path / "out").mkdir()
    with pytest.raises(PackError, match=words):
        extract_zip(tmp_path / "a.zip", tmp_path / "out", limit=1000)


def test_a_zip_that_lies_about_its_sizes_stops_at_the_limit(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 10_000_000)
    (tmp_path / "out").mkdir()
    with pytest.raises(PackError, match="Unzipped size"):
        extract_zip(tmp_path / "b.zip", tmp_path / "out", limit=1_000_000)
    assert (tmp_path / "out/bomb").stat().st_size <= 1_000_000


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"not a zip" * 100])
def test_what_is_no_zip_is_refused(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(PackError, match="not a usable zip"):
        extract_zip(tmp_path / "a.zip", tmp_path)


def test_a_zip_from_windows_has_readable_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.create_system = 0
        archive.writestr(info, b"")
    (tmp_path / "out").mkdir()
    extract_zip(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out/x").stat().st_mode & 0o777 == 0o644
