"""Packages as files: unpacked whole under every compressor, and refused when they are hostile or broken."""

from __future__ import annotations

import stat
import struct

import pytest
from tests.unit.pack.rpms import COMPRESSORS, link, make_cpio, make_header, make_rpm, regular

from lambdad.pack.errors import PackError
from lambdad.pack.rpm_file import read_header, unpack

TOOL = {
    "/usr/bin/tool": regular("#!/bin/sh\n", 0o4755),
    "/usr/bin/other": link("tool"),
    "/etc/tool": (stat.S_IFDIR | 0o755, b""),
    "/etc/tool/empty": regular(),
    "/lib64/libtool.so.1": regular("library" * 1000),
}
REGULAR = stat.S_IFREG | 0o644


def put(tmp_path, data: bytes):
    path = tmp_path / "package.rpm"
    path.write_bytes(data)
    return path


def unpacked(tmp_path, data: bytes) -> list[str]:
    path = put(tmp_path, data)
    (tmp_path / "tree").mkdir()
    return unpack(path, read_header(path), tmp_path / "tree")


@pytest.mark.parametrize("compressor", sorted(COMPRESSORS))
def test_every_compressor_is_read(tmp_path, compressor):
    paths = unpacked(tmp_path, make_rpm("tool", TOOL, compressor=compressor))
    assert paths == ["/usr/bin/tool", "/usr/bin/other", "/etc/tool", "/etc/tool/empty", "/usr/lib64/libtool.so.1"]
    tree = tmp_path / "tree"
    assert (tree / "usr/bin/other").readlink().name == "tool"
    assert (tree / "usr/lib64/libtool.so.1").read_text() == "library" * 1000
    assert stat.S_IMODE((tree / "usr/bin/tool").stat().st_mode) == 0o4755
    assert (tree / "etc/tool/empty").read_bytes() == b""


def test_hard_links_share_the_bytes_that_only_the_last_one_carries(tmp_path):
    cpio = make_cpio(
        [("./usr/a", REGULAR, b"", 7, 3), ("./usr/b", REGULAR, b"", 7, 3), ("./usr/c", REGULAR, b"bytes", 7, 3)]
    )
    unpacked(tmp_path, make_rpm("tool", {}, cpio=cpio))
    tree = tmp_path / "tree/usr"
    assert [(tree / name).read_bytes() for name in "abc"] == [b"bytes"] * 3
    assert len({(tree / name).stat().st_ino for name in "abc"}) == 1


def test_hard_links_of_an_empty_file_are_empty_files(tmp_path):
    cpio = make_cpio([("./usr/a", REGULAR, b"", 7, 2), ("./usr/b", REGULAR, b"", 7, 2)])
    assert unpacked(tmp_path, make_rpm("tool", {}, cpio=cpio)) == ["/usr/a", "/usr/b"]
    assert (tmp_path / "tree/usr/b").read_bytes() == b""


def test_what_a_package_only_owns_is_not_unpacked_and_devices_are_not_made(tmp_path):
    files = {"/var/log/tool": regular("x"), "/usr/tool": regular("x"), "/dev/tool": (stat.S_IFCHR | 0o600, b"")}
    paths = unpacked(tmp_path, make_rpm("tool", files, ghosts=["/var/log/tool"]))
    assert "/var/log/tool" not in paths
    assert not (tmp_path / "tree/var").exists() and not (tmp_path / "tree/dev/tool").exists()


@pytest.mark.parametrize(
    ("script", "interpreter", "counts"),
    [("", "", False), ("useradd x", "/bin/sh", True), ("", "/sbin/ldconfig", False), ("", "/bin/lua", True)],
)
def test_scripts_are_seen_and_ldconfig_alone_is_none(tmp_path, script, interpreter, counts):
    data = make_rpm("tool", {}, script=script, interpreter=interpreter)
    assert read_header(put(tmp_path, data)).scripts is counts


def hostile(name: str, mode: int = REGULAR, data: bytes = b"x") -> bytes:
    return make_cpio([(name, mode, data, 1, 1)])


GOOD = make_rpm("tool", TOOL)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an rpm package"),
        (b"PK\x03\x04" + bytes(200), "not an rpm package"),
        (GOOD[:100], "broken header"),
        (GOOD[:150], "begin|ends inside|broken"),
        (GOOD[:96] + make_header({1: (4, b"\0\0\0\1", 1 << 30)}) + bytes(200), "counts more|begin"),
        (GOOD[:96] + make_header({1117: (8, bytes(300_001), 300_001)}), "300001 values, more than any has"),
        (GOOD[:96] + b"\x8e\xad\xe8\x01\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "more than any has"),
        (GOOD[:-40], "not the one that its header names"),
        (make_rpm("tool", TOOL, digest="")[:-40], "too early|decompressed"),
        (make_rpm("tool", TOOL, digest="0" * 64), "not the one that its header names"),
        (make_rpm("x", {}, cpio=b"not an archive at all" * 9), "damaged archive"),
        (make_rpm("x", {}, cpio=b"07070X" + b"0" * 104), "over 4 GB"),
        (make_rpm("x", {}, cpio=b"070701" + b"zzzzzzzz" * 13), "damaged archive"),
        (make_rpm("x", {}, cpio=hostile("n" * 5000)), "name of 5001 bytes"),
        (make_rpm("x", {}, cpio=hostile("./usr/l", stat.S_IFLNK | 0o777, b"")), "link of 0 bytes"),
        (make_rpm("x", {"/usr/d": link("/etc"), "/usr/d/passwd": regular("evil")}), "below the link"),
        (make_rpm("x", {"/usr/f": regular(), "/usr/f/g": regular()}), "below the link or file"),
        (make_rpm("x", {"/usr/d/f": regular(), "/usr/d": regular()}), "is a directory"),
        (make_rpm("x", {"/usr/d": link("/etc"), "/usr/d/": (stat.S_IFDIR | 0o755, b"")}), "cannot be unpacked"),
        (make_rpm("x", {"/usr/" + "n" * 300: regular()}), "cannot be unpacked: File name too long"),
    ],
    ids=[
        "empty", "zip", "cut-in-signature", "cut-in-header", "count", "values", "size", "cut-in-archive",
        "cut-without-digest", "digest", "no-cpio", "stripped", "fields", "long-name", "empty-link", "through-link",
        "below-file", "over", "dir-on-link", "component",
    ],
)  # fmt: skip
def test_a_hostile_or_broken_package_is_one_clear_error(tmp_path, data, words):
    with pytest.raises(PackError, match=words):
        unpacked(tmp_path, data)


@pytest.mark.parametrize("name", ["../../etc/passwd", "./../x", "/../../x", "usr/../../x"])
def test_no_name_leads_out_of_the_tree(tmp_path, name):
    unpacked(tmp_path, make_rpm("x", {}, cpio=hostile(name)))
    assert {path.name for path in tmp_path.iterdir()} == {"package.rpm", "tree"}
    assert [path for path in (tmp_path / "tree").rglob("*") if path.is_file()] != []


def test_a_tag_is_read_once_however_often_the_header_names_it(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("lambdad.pack.rpm_file._values", lambda *place: read.append(place) or [])
    index = struct.pack(">IIII", 1117, 8, 0, 100) * 1000
    header = b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", 1000, 100) + index + bytes(100)
    read_header(put(tmp_path, GOOD[:96] + header + bytes(4) + header))
    assert len(read) == 2  # of the signature's header and of the package's


def test_a_bomb_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("lambdad.pack.rpm_file.UNPACKED_MAX", 1024 * 1024)
    with pytest.raises(PackError, match="unpacks to more than"):
        unpacked(tmp_path, make_rpm("x", {"/usr/zeros": regular("0" * 4_000_000)}))
