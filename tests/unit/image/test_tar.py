"""The tar reader: what container layers use, and what hostile ones try."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import pytest

from lambdad.image.errors import ImageTooLarge, InvalidImage
from lambdad.image.limits import Limits
from lambdad.image.tar import Entry, Kind, TarReader
from lambdad.testing.image_tar import LayerBuilder


def read(data: bytes, limits: Limits | None = None, piece: int = 1000) -> list[tuple[Entry, bytes]]:
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    reader = TarReader(pieces, limits or Limits())
    found = []
    for entry in reader:
        content = bytearray()
        reader.pour(content.extend)
        found.append((entry, bytes(content)))
    return found


def only(data: bytes) -> Entry:
    ((entry, _),) = read(data)
    return entry


def test_a_file_keeps_mode_owner_time_and_content() -> None:
    layer = LayerBuilder().file("a/b", b"x" * 2000, mode=0o4755, uid=70_000, gid=5, mtime=1_700_000_000_123_456_789)
    ((entry, content),) = read(layer.build())
    attributes = entry.attributes
    assert (entry.kind, entry.path, content) == (Kind.FILE, (b"a", b"b"), b"x" * 2000)
    assert (attributes.mode, attributes.uid, attributes.gid) == (0o104755, 70_000, 5)
    assert attributes.mtime == 1_700_000_000_123_456_789


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_and_targets_beyond_the_header_are_read_in_both_styles(style: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style) as tar:
        info = tarfile.TarInfo("/".join(["n" * 200] * 5))
        info.type, info.linkname = tarfile.SYMTYPE, "t" * 3000
        tar.addfile(info)
    entry = only(out.getvalue())
    assert (entry.path, entry.target) == ((b"n" * 200,) * 5, b"t" * 3000)


def test_a_ustar_prefix_is_part_of_the_name() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("p" * 90 + "/" + "n" * 90))
    assert only(out.getvalue()).path == (b"p" * 90, b"n" * 90)


def test_attributes_and_capabilities_keep_their_bytes() -> None:
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    layer = LayerBuilder().file("ping", xattrs={"user.empty": b"", "security.capability": capability})
    entry = only(layer.build())
    assert entry.attributes.xattrs == ((b"security.capability", capability), (b"user.empty", b""))


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=posix"], *(
    ["--format=posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")
)])  # fmt: skip
def test_sparse_files_of_every_dialect_of_gnu_tar_are_read(options: list[str], tmp_path: Path) -> None:
    with open(tmp_path / "holes", "wb") as file:
        for at in range(0, 60 * 65536, 2 * 65536):
            file.seek(at)
            file.write(b"\x5a" * 4096)
        file.truncate(64 * 65536)
    run(["tar", "-C", tmp_path, "-S", *options, "-cf", tmp_path / "layer", "holes"], check=True, timeout=60)
    ((entry, content),) = read((tmp_path / "layer").read_bytes())
    whole = bytearray(entry.size)
    at = 0
    assert entry.segments is not None
    for offset, length in zip(entry.segments[::2], entry.segments[1::2], strict=True):
        whole[offset : offset + length] = content[at : at + length]
        at += length
    assert entry.path == (b"holes",)
    assert whole == (tmp_path / "holes").read_bytes()
    assert at < len(whole) // 4


def test_whiteouts_and_opaque_markers_are_told_apart_from_files() -> None:
    layer = LayerBuilder().whiteout("a/gone").opaque("b").opaque("").file("a/.whx")
    assert [(entry.kind, entry.path) for entry, _ in read(layer.build())] == [
        (Kind.WHITEOUT, (b"a", b"gone")),
        (Kind.OPAQUE, (b"b",)),
        (Kind.OPAQUE, ()),
        (Kind.FILE, (b"a", b".whx")),
    ]


def test_the_longest_name_can_be_hidden_though_its_whiteout_is_longer() -> None:
    assert only(LayerBuilder().whiteout("n" * 255).build()).path == (b"n" * 255,)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "leaves the image": lambda: LayerBuilder().file("a/../../etc/passwd").build(),
    "device node": lambda: LayerBuilder().special("dev/sda", tarfile.BLKTYPE).build(),
    "more than 255 bytes": lambda: LayerBuilder().file("n" * 256).build(),
    "too long or too deep": lambda: LayerBuilder().file("/".join("d" * 600)).build(),
    "whiteout of nothing": lambda: LayerBuilder().file("a/.wh.").build(),
    "no name": lambda: LayerBuilder().symlink(".", "x").build(),
    "not in order": lambda: LayerBuilder().sparse("s", 100, [(50, b"x"), (10, b"y")]).build(),
    "leaves the file": lambda: LayerBuilder().sparse("s", 100, [(100, b"x")]).build(),
    "not a tar": lambda: b"z" * 1024,
    "middle of a file": lambda: LayerBuilder().file("f", b"x" * 5000).build()[:2000],
    "middle of a header": lambda: LayerBuilder().file("f").build()[:300],
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_hostile_entry_is_refused_with_the_reason(reason: str) -> None:
    with pytest.raises(InvalidImage, match=reason) as caught:
        read(HOSTILE[reason]())
    assert caught.value.reason_code == "InvalidImage"


def test_absolute_names_and_dots_stay_inside_the_tree() -> None:
    assert only(LayerBuilder().file("/./etc//passwd").build()).path == (b"etc", b"passwd")


def test_a_declared_size_beyond_the_limit_is_refused_when_it_arrives() -> None:
    limits = Limits(content_bytes=1000, entries=1)
    endless = LayerBuilder().file("f", b"").build()[:512]
    zeros = iter([endless, *[bytes(1 << 20)] * 100])
    with pytest.raises(ImageTooLarge):
        list(TarReader(zeros, limits))


def test_a_time_outside_what_images_can_hold_is_brought_to_the_nearest() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("f")
        info.pax_headers = {"mtime": "99999999999999"}
        tar.addfile(info)
    assert only(out.getvalue()).attributes.mtime == ((1 << 33) - 1) * 10**9 + 999_999_999
