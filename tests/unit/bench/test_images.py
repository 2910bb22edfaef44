"""The corpus as data, layers as archives, and what is counted of them: the parts that need no root."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from bench.images.chunking import count_chunks, file_contents, logical_size
from bench.images.corpus import write_layer
from bench.images.origin import OriginLog
from bench.images.recipes import IMAGES, LARGE, LAYERS, REDEPLOY, Debian, chain

from lambdad.chunks.codec import CHUNK_SIZE


def test_every_image_stands_on_a_debian_and_names_known_layers() -> None:
    assert len(IMAGES) >= 16
    for name in (*IMAGES, LARGE, *REDEPLOY):
        layers = chain(name)
        assert layers[-1] == name
        assert isinstance(LAYERS[layers[0]].step, Debian)
        assert not any(isinstance(LAYERS[layer].step, Debian) for layer in layers[1:])


def test_a_layer_keeps_hard_links_symbolic_links_and_times(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "a").write_bytes(b"content")
    os.link(tmp_path / "usr" / "a", tmp_path / "usr" / "b")
    (tmp_path / "usr" / "link").symlink_to("a")
    (tmp_path / "folder").symlink_to("usr")
    os.utime(tmp_path / "usr" / "a", ns=(0, 1_700_000_000_000_000_000))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        write_layer(tmp_path, tar)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        found = {member.name: member for member in tar.getmembers()}
    assert sorted(found) == ["folder", "usr", "usr/a", "usr/b", "usr/link"]
    assert found["usr/a"].mtime == 1_700_000_000
    assert found["usr/b"].islnk()
    assert found["usr/b"].linkname == "usr/a"
    assert found["folder"].linkname == "usr"


def test_chunks_are_counted_once_and_without_the_zeros_at_their_end() -> None:
    chunk = os.urandom(8192).ljust(CHUNK_SIZE, b"\0")
    last = os.urandom(4096)
    found = count_chunks(iter((chunk, chunk + bytes(CHUNK_SIZE), last)))
    assert sorted(found.values()) == [4096, 8192]
    assert found == count_chunks(iter((chunk + chunk, bytes(CHUNK_SIZE), last)))


def test_equal_files_are_one_content_and_two_names_of_an_inode_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "b").write_bytes(b"x" * 100)
    os.link(tmp_path / "a", tmp_path / "c")
    (tmp_path / "d").symlink_to("a")
    assert list(file_contents(tmp_path).values()) == [100]
    assert logical_size(tmp_path) == 200


def test_the_log_of_the_origin_tells_chunks_from_the_rest(tmp_path: Path) -> None:
    log = OriginLog(tmp_path / "log")
    log.path.write_text("roots/r1 10\nr1/chunks/aa/aabb 100\nr1/chunks/aa/aabb 100\nr1/chunks/cc/ccdd 7\n")
    times, total = log.chunks()
    assert (dict(times), total) == ({"r1/chunks/aa/aabb": 2, "r1/chunks/cc/ccdd": 1}, 207)
    log.clear()
    assert log.chunks() == ({}, 0)
    assert log.environment(2.75)["BENCH_ORIGIN_DELAY"] == "0.00275"
