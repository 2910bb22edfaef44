"""Archives of strangers: what is kept, what is refused, what reaches the disk."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from lambdad.layers.archive import ArchiveError, ArchiveInfo, ArchiveTooLarge, extract, inspect

UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."


def entry(name: str, mode: int = 0o100644, host: int = 3) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10))
    info.create_system = host
    info.external_attr = mode << 16
    return info


def link(name: str) -> zipfile.ZipInfo:
    return entry(name, stat.S_IFLNK | 0o777)


def zipped(*entries: tuple[zipfile.ZipInfo | str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for info, content in entries:
            archive.writestr(entry(info) if isinstance(info, str) else info, content, method)
    return buffer.getvalue()


def unpack(data: bytes, directory: Path, limit: int = 10_000_000) -> Path:
    """Inspect and extract, which must agree, below a fresh directory."""
    source, tree = directory / "code.zip", directory / "tree"
    source.write_bytes(data)
    tree.mkdir()
    assert inspect(data, limit) == extract(source, tree, limit)
    return tree


def refusal(data: bytes) -> str:
    """The text that both `inspect` and the text's class give."""
    with pytest.raises(ArchiveError) as caught:
        inspect(data, 10_000_000)
    return str(caught.value)


def test_files_directories_and_links_arrive_as_they_were(tmp_path: Path) -> None:
    data = zipped(
        ("main.py", "code"),
        ("bin/", ""),
        (entry("bin/tool", 0o100755), b"\x7fELF"),
        (link("bin/alias"), "tool"),
        (link("config"), "/opt/config"),
    )
    assert inspect(data) == ArchiveInfo(files=4, directories=1, unzipped_size=4 + 4 + 4 + 11)
    tree = unpack(data, tmp_path)
    assert (tree / "main.py").read_text() == "code"
    assert (tree / "bin/alias").read_bytes() == b"\x7fELF"
    assert os.readlink(tree / "config") == "/opt/config"
    assert stat.S_IMODE((tree / "bin/tool").stat().st_mode) == 0o755
    assert (tree / "main.py").stat().st_mtime == 1714979290


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0, 0o644),
        (0o100600, 0o644),
        (0o100700, 0o755),
        (0o100000, 0o644),
        (0o104755, 0o755),
        (0o102755, 0o755),
        (0o101777, 0o777),
        (0o600, 0o644),
    ],
)
def test_everybody_can_read_a_file_and_nobody_gains_rights(tmp_path: Path, mode: int, expected: int) -> None:
    tree = unpack(zipped((entry("file", mode), "x")), tmp_path)
    assert stat.S_IMODE((tree / "file").stat().st_mode) == expected


def test_a_directory_can_always_be_entered(tmp_path: Path) -> None:
    tree = unpack(zipped((entry("closed/", 0o040600), ""), (entry("closed/file", 0o100600), "x")), tmp_path)
    assert stat.S_IMODE((tree / "closed").stat().st_mode) == 0o755
    assert (tree / "closed/file").read_text() == "x"


def test_the_last_of_several_entries_with_one_name_counts(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("a", "first"), ("b", "other"), ("a", "last"))
    assert (unpack(data, tmp_path) / "a").read_text() == "last"


def test_backslashes_are_separators_in_zips_from_windows_only(tmp_path: Path) -> None:
    for number, (host, expected) in enumerate(((0, "dir/file"), (3, "dir\\file"))):
        directory = tmp_path / str(number)
        directory.mkdir()
        tree = unpack(zipped((entry("dir\\file", 0o100644, host), "x")), directory)
        assert (tree / expected).read_text() == "x"


def test_names_are_utf_8_with_or_without_the_flag_and_code_page_437_otherwise(tmp_path: Path) -> None:
    flagged = zipped(("grüße", "x"))
    bare = flagged.replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00")
    assert bare != flagged
    for number, (data, name) in enumerate(
        ((flagged, "grüße"), (bare, "grüße"), (zipped(("aXb", "x")).replace(b"aXb", b"a\x81b"), "aüb"))
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        assert [path.name for path in unpack(data, directory).iterdir()] == [name]


def test_dots_in_a_path_mean_nothing(tmp_path: Path) -> None:
    tree = unpack(zipped(("./a//./b", "x"), ("./", "")), tmp_path)
    assert (tree / "a/b").read_text() == "x"


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/passwd", "a/..", "x" * 256, "a/" * 2100 + "b"])
def test_names_that_leave_the_tree_or_do_not_fit_are_refused(name: str) -> None:
    assert refusal(zipped((name, "x"))).startswith(f"{UNREADABLE} (")


def test_a_windows_name_cannot_leave_the_tree_either() -> None:
    assert refusal(zipped((entry("..\\evil", 0o100644, 0), "x"))).startswith(UNREADABLE)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_devices_pipes_and_sockets_are_refused(kind: int) -> None:
    assert "only files, directories and symbolic links" in refusal(zipped((entry("node", kind | 0o644), "")))


@pytest.mark.parametrize(
    "target",
    [
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "/",
        "/opt/../etc/passwd",
        "/optical",
        "a/../../..",
        "\0",
        "x" * 5000,
        "",
    ],
)
def test_links_out_of_the_tree_are_refused(target: str) -> None:
    assert refusal(zipped((link("dir/link") if target == "a/../../.." else link("link"), target))).startswith(
        UNREADABLE
    )


def test_a_link_may_not_leave_through_another_link() -> None:
    """`a/m` reads as `a/b/l/..`, inside; but `l` is the root, so it is the root's parent."""
    data = zipped(("a/b/file", "x"), (link("a/b/l"), "../.."), (link("a/m"), "b/l/.."))
    assert "points out of the archive" in refusal(data)


def test_links_inside_of_the_tree_stay(tmp_path: Path) -> None:
    data = zipped(
        (link("lib/libz.so"), "libz.so.1"),
        ("lib/libz.so.1", "z"),
        (link("up"), "lib/../lib/./libz.so"),
        (link("loop"), "loop"),
        (link("dangling"), "lib/none"),
        (link("tmp"), "/tmp/cache"),
    )
    tree = unpack(data, tmp_path)
    assert (tree / "up").read_text() == "z"
    assert os.readlink(tree / "loop") == "loop"


@pytest.mark.parametrize(
    "entries",
    [
        [(link("dir"), "elsewhere"), ("dir/file", "x")],
        [("dir/file", "x"), (link("dir"), "elsewhere")],
        [("dir", "a file"), ("dir/file", "x")],
        [(link("dir"), "."), ("dir/a/b/c", "x")],
    ],
)
def test_nothing_is_written_through_a_link_or_a_file(entries: list[tuple[zipfile.ZipInfo | str, str]]) -> None:
    assert "'dir' is not a directory" in refusal(zipped(*entries))


def test_an_archive_is_as_large_as_its_bytes_and_has_a_limit(tmp_path: Path) -> None:
    data = zipped(("a", "x" * 60), ("b", "y" * 40))
    assert inspect(data, 100).unzipped_size == 100
    with pytest.raises(ArchiveTooLarge) as caught:
        inspect(data, 99)
    assert str(caught.value) == "Unzipped size must be smaller than 99 bytes"


def test_an_empty_archive_and_no_archive_have_awss_texts() -> None:
    assert refusal(zipped()) == "Uploaded file must be a non-empty zip"
    for data in (b"", b"PK", b"no zip at all", zipped(("a", "x"))[:-10]):
        assert refusal(data) == UNREADABLE


def test_damaged_content_is_noticed_before_it_is_accepted() -> None:
    data = bytearray(zipped(("a", "content"), method=zipfile.ZIP_STORED))
    data[data.index(b"content")] ^= 1
    assert refusal(bytes(data)) == UNREADABLE


def test_a_directory_with_content_is_refused() -> None:
    assert "a directory cannot have content" in refusal(zipped((entry("dir", 0o040755), "x")))


def test_extraction_does_not_follow_a_link_that_somebody_planted(tmp_path: Path) -> None:
    """The tree is planned free of links, but the disk is what counts: every step is by descriptor."""
    source, tree, outside = tmp_path / "code.zip", tmp_path / "tree", tmp_path / "outside"
    source.write_bytes(zipped(("dir/file", "x")))
    tree.mkdir()
    outside.mkdir()
    (tree / "dir").symlink_to(outside)
    with pytest.raises(OSError, match="dir"):
        extract(source, tree)
    assert list(outside.iterdir()) == []


def test_unix_times_are_used_where_they_are_recorded(tmp_path: Path) -> None:
    info = entry("file")
    info.extra = b"UT\x05\x00\x01" + (1_700_000_001).to_bytes(4, "little")
    assert (unpack(zipped((info, "x")), tmp_path) / "file").stat().st_mtime == 1_700_000_001
