"""The whole build: same bytes everywhere, nothing half-made, limits, and what shared layers share."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.image.build import CHUNK_SIZE, BuildOptions, Phase, Progress, build_image
from lambdad.image.errors import BuildCancelled, ImageNotFound, ImageTooLarge, InvalidImage, SpoolFull
from lambdad.image.limits import Limits
from lambdad.image.sources import ArchiveSource, DirectorySource, OciLayoutSource
from lambdad.testing.image_blobs import make_image, write_layout
from lambdad.testing.image_build import AMD64, LayersSource, build_bytes, build_file, check_image, missing_tools
from lambdad.testing.image_tar import LayerBuilder

EROFS_4K = BuildOptions(format="erofs", block_size=4096)
OPTIONS = [BuildOptions(format="erofs"), EROFS_4K, BuildOptions(format="ext4")]
IDS = ["erofs", "erofs-4k", "ext4"]


def base_layer() -> bytes:
    layer = LayerBuilder().directory("usr", mtime=1_600_000_000_000_000_001).symlink("bin", "usr/bin")
    for number in range(300):
        layer.file(f"usr/lib/p{number % 7}/f{number}", bytes([number % 251]) * (number * 37), uid=number, mtime=number)
    layer.file("usr/lib/libbig.so", os.urandom(8) * 80_000, xattrs={"user.k": b"v"})
    return layer.sparse("var/holes", 10_000_000, [(4096, b"s" * 5000), (9_000_000, b"t")]).build()


def chunks(image: bytes) -> list[bytes]:
    return [image[at : at + CHUNK_SIZE] for at in range(0, len(image), CHUNK_SIZE)]


BASE = base_layer()

SCRIPT = """
import asyncio, hashlib, sys
from pathlib import Path
from lambdad.chunks.codec import Salt
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, upload_image
from lambdad.image.build import BuildOptions
from lambdad.testing.chunk_doubles import ScriptedStore
from lambdad.testing.image_build import build_bytes
layers = [Path(p).read_bytes() for p in sys.argv[2:]]
plan = UploadPlan(salt=Salt("r1"), key=bytes(32), key_name="k", context="c")
for options in (BuildOptions(), BuildOptions(block_size=4096), BuildOptions(format="ext4")):
    image = build_bytes(layers, options)
    uploaded = asyncio.run(upload_image(iterate_in_thread([image]), ScriptedStore(), plan))
    print(hashlib.sha256(image).hexdigest(), hashlib.sha256(uploaded.manifest).hexdigest())
"""


def test_another_machines_settings_give_the_same_images_and_manifests(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(BASE)
    (tmp_path / "top").write_bytes(LayerBuilder().file("app", b"x").whiteout("usr/lib/p3/f3").build())
    (tmp_path / "tmp").mkdir()
    layers = [str(tmp_path / "base"), str(tmp_path / "top")]
    answers = []
    for environment, umask in (
        ({"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"}, 0o022),
        ({"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "77", "TMPDIR": str(tmp_path / "tmp")}, 0o077),
    ):
        command = [sys.executable, "-c", SCRIPT, "-", *layers]
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            umask=umask,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        answers.append(done.stdout.split())
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == 6


@pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {missing_tools()}")
@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_an_image_is_clean_to_its_own_checker(options: BuildOptions, tmp_path: Path) -> None:
    top = LayerBuilder().whiteout("usr/lib/p1").file("usr/lib/libbig.so", b"new").symlink("long", "x" * 2000)
    deep = LayerBuilder().file("/".join("d" * 200) + "/f", b"deep").file("n" * 255, b"long")
    many = LayerBuilder()
    for number in range(3000):
        many.file(f"many/file-with-a-long-name-{number}", b"")
    entries = (
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 4, 1000),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 4, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    )
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    many.file("acl", xattrs={"system.posix_acl_access": acl, "user.large": b"v" * 900, "trusted.t": b"1"})
    build_file([BASE, top.build(), deep.build(), many.build()], tmp_path / "image", options)
    assert check_image(tmp_path / "image", options) == ""


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_an_application_layer_leaves_all_chunks_with_contents_of_the_base_as_they_were(options: BuildOptions) -> None:
    """What an app-only redeploy costs: a few chunks of metadata, none of content."""
    one = set(chunks(build_bytes([BASE, LayerBuilder().file("var/task/app.py", b"print(1)").build()], options)))
    two = chunks(build_bytes([BASE, LayerBuilder().file("var/task/app.py", b"print(2)").build()], options))
    new = [chunk for chunk in two if chunk not in one]
    assert len(new) == 1
    assert b"print(2)" in new[0]
    removed = chunks(build_bytes([BASE, LayerBuilder().whiteout("usr/lib/p1").build()], options))
    contents = [chunk for chunk in removed if chunk not in one and bytes([2]) * 74 in chunk]
    assert len(contents) <= 1


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_an_image_without_any_file_is_still_an_image(options: BuildOptions, tmp_path: Path) -> None:
    for layers in ([], [LayerBuilder().build()]):
        built = build_file(layers, tmp_path / "image", options)
        assert built.files == 0
        assert (tmp_path / "image").stat().st_size == built.size


def test_progress_counts_up_to_the_whole_image_and_the_build_can_be_cancelled_anywhere() -> None:
    seen: list[Progress] = []
    options = BuildOptions(progress=seen.append)
    image = build_bytes([BASE], options)
    assert seen[0].phase == Phase.FLATTEN
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == (Phase.WRITE, len(image), len(image))
    for moment in range(len(seen)):
        left = iter(range(moment))
        options = BuildOptions(cancelled=lambda left=left: next(left, None) is None)  # type: ignore[misc]
        with pytest.raises(BuildCancelled):
            build_bytes([BASE], options)


def test_limits_are_of_the_contents_and_of_what_sparse_files_become() -> None:
    with pytest.raises(ImageTooLarge, match="more than 1000 bytes"):
        build_bytes([BASE], BuildOptions(limits=Limits(content_bytes=1000)))
    spread = [(at << 30, b"x") for at in range(1000)]
    bomb = LayerBuilder().sparse("bomb", 1 << 40, spread).build()
    with pytest.raises(ImageTooLarge, match="mostly holes"):
        build_bytes([bomb], BuildOptions(limits=Limits(content_bytes=1 << 20, entries=100)))
    with pytest.raises(ImageTooLarge, match="sparse file of"):
        build_bytes([LayerBuilder().sparse("s", 1 << 50, []).build()], BuildOptions())


def test_a_full_disk_below_the_sink_is_told_as_such_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(SpoolFull, match="no room"):
        build_image(LayersSource([BASE]), AMD64, Full(), BuildOptions(spool=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def build_from(source: OciLayoutSource | ArchiveSource | DirectorySource) -> bytes:
    out = io.BytesIO()
    build_image(source, AMD64, out, BuildOptions())
    return out.getvalue()


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_a_layout_and_an_archive_of_it_give_the_image_of_their_layers(compression: str, tmp_path: Path) -> None:
    layers = [BASE, LayerBuilder().file("app").build()]
    write_layout(tmp_path / "layout", make_image(layers, compression=compression))  # type: ignore[arg-type]
    subprocess.run(["tar", "-C", tmp_path / "layout", "-cf", tmp_path / "archive", "."], check=True, timeout=60)
    expected = hashlib.sha256(build_bytes(layers, BuildOptions())).digest()
    for source in (
        OciLayoutSource(str(tmp_path / "layout")),
        OciLayoutSource(str(tmp_path / "layout"), "latest"),
        ArchiveSource(str(tmp_path / "archive")),
    ):
        assert hashlib.sha256(build_from(source)).digest() == expected
    with pytest.raises(ImageNotFound, match="no image 'v2'"):
        build_from(OciLayoutSource(str(tmp_path / "layout"), "v2"))


def test_a_docker_archive_with_linked_layers_gives_the_same_image(tmp_path: Path) -> None:
    """Older `docker save`: layer directories, and symbolic links where two images share one."""
    image = make_image([BASE], compression="")
    blobs = list(image.blobs.values())
    archive = LayerBuilder().file("aaa/layer.tar", blobs[0]).symlink("bbb/layer.tar", "../aaa/layer.tar")
    archive.file("config.json", blobs[1])
    archive.file("manifest.json", b'[{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["bbb/layer.tar"]}]')
    (tmp_path / "saved").write_bytes(archive.build())
    assert build_from(ArchiveSource(str(tmp_path / "saved"))) == build_bytes([BASE], BuildOptions())
    assert build_from(ArchiveSource(str(tmp_path / "saved"), "x:1"))


def test_a_damaged_layer_of_a_layout_is_named_by_its_digest(tmp_path: Path) -> None:
    image = make_image([BASE], compression="")
    layer = next(iter(image.blobs))
    write_layout(tmp_path / "layout", image)
    blob = tmp_path / "layout" / "blobs" / "sha256" / layer.removeprefix("sha256:")
    whole = blob.read_bytes()
    for damaged in (b"\0" * 512 + whole[512:], b"garbage!" + whole[8:]):
        blob.write_bytes(damaged)
        with pytest.raises(InvalidImage, match=f"not what its digest {layer}"):
            build_from(OciLayoutSource(str(tmp_path / "layout")))
    blob.write_bytes(whole[:-700])
    with pytest.raises(InvalidImage, match="its manifest says"):
        build_from(OciLayoutSource(str(tmp_path / "layout")))


def test_a_directory_becomes_an_image_with_its_links_modes_and_times(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d" / "f").write_bytes(b"hello")
    (root / "d" / "f").chmod(0o640)
    os.link(root / "d" / "f", root / "twin")
    (root / "l").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe")
    image = build_from(DirectorySource(str(root)))
    assert b"hello" in image
    assert image == build_from(DirectorySource(str(root)))
    with pytest.raises(ImageNotFound):
        build_from(DirectorySource(str(tmp_path / "none")))
