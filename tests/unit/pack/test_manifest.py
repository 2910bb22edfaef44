"""Manifests: digests of content, and reading them back with suspicion."""

from __future__ import annotations

import json
import os

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.manifest import (
    Manifest,
    PackageEntry,
    content_digest,
    dump_manifest,
    normal_mode,
    parse_manifest,
    scan_tree,
)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/a").write_text("x")
    (tmp_path / "bin/b").symlink_to("./a/")
    return tmp_path


def manifest(tree) -> Manifest:
    files = scan_tree(tree, {"bin/a": ("apt:git", "/usr/bin/a")})
    return Manifest(
        name="git", arch="x86_64", base="d", base_name="debian12", glibc="2.34", content_digest=content_digest(files),
        files=files, packages=(PackageEntry(name="apt:git", version="1", size=1, wanted_by=("git",)),),
        tests=(("t", "git"),), environment={"A": "b"}, notes=("n",), runtimes=("provided",),
    )  # fmt: skip


def test_a_tree_is_listed_with_links_as_they_are_written(tree):
    entries = scan_tree(tree, {"bin/a": ("apt:git", "/usr/bin/a")})
    assert [(entry.path, entry.kind, entry.mode, entry.size) for entry in entries] == [
        ("bin", "directory", 0o755, 0),
        ("bin/a", "file", 0o644, 1),
        ("bin/b", "link", 0o777, 4),
    ]
    assert (entries[2].digest, entries[1].package, entries[1].origin) == ("./a/", "apt:git", "/usr/bin/a")


def test_the_content_digest_sees_bytes_modes_and_targets_and_nothing_else(tree):
    digests = [content_digest(scan_tree(tree))]
    os.utime(tree / "bin/a", (1, 1))
    assert content_digest(scan_tree(tree)) == digests[0]
    for change in (
        lambda: (tree / "bin/a").chmod(0o755),
        lambda: (tree / "bin/a").write_text("y"),
        lambda: (tree / "c").mkdir(),
        lambda: (tree / "bin/b").unlink(),
    ):
        change()
        digests.append(content_digest(scan_tree(tree)))
    assert len(set(digests)) == 5


def test_a_socket_cannot_be_in_a_layer(tree):
    os.mkfifo(tree / "pipe")
    with pytest.raises(PackError, match="only files, links and directories"):
        scan_tree(tree)


def test_a_manifest_survives_being_written_and_read(tree):
    assert parse_manifest(dump_manifest(manifest(tree))) == manifest(tree)
    assert manifest(tree).size == 5


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", 3])
def test_a_manifest_that_names_paths_outside_is_refused(tree, path):
    table = json.loads(dump_manifest(manifest(tree)))
    table["files"][0][0] = path
    with pytest.raises(PackError):
        parse_manifest(json.dumps(table))


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', '{"format": 1}'])
def test_a_broken_manifest_says_what_to_do(text):
    with pytest.raises(PackError, match="build the layer again"):
        parse_manifest(text)


def test_modes_are_made_the_same_everywhere():
    assert [normal_mode(mode) for mode in (0o600, 0o700, 0o664, 0o4711)] == [0o644, 0o755, 0o644, 0o755]
