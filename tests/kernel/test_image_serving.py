"""`lambdad image mount` and `serve --nbd` as commands of their own: the kernel and libnbd read what was pulled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.block.mount import mounts_below
from lambdad.image.build import BuildOptions, build_image
from lambdad.image.oci import Platform
from lambdad.image.sources import DirectorySource
from lambdad.testing.block_images import make_tree, missing_for_mounts
from lambdad.testing.image_command import DEADLINE_S, image_running, run_image
from lambdad.testing.waiting import wait_until

pytestmark = pytest.mark.kernel


def missing_for_ext4() -> str:
    """Why an ext4 image cannot be mounted here; empty if it can."""
    if "\text4\n" not in Path("/proc/filesystems").read_text():
        return "this kernel has no ext4"
    return missing_for_mounts()


def missing_for_nbd() -> str:
    """Which tools of libnbd are missing; empty if none are."""
    missing = [tool for tool in ("nbdinfo", "nbdcopy") if shutil.which(tool) is None]
    return f"not installed: {' '.join(missing)}" if missing else ""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one image, called tree, of the directory tree."""
    (tmp_path / "tree").mkdir()
    make_tree(tmp_path / "tree")
    store = tmp_path / "store"
    done = run_image("pull", f"dir:{tmp_path}/tree", "--format", "ext4", "--store", store)
    assert done.returncode == 0, done.stderr
    return store


@pytest.mark.skipif(bool(missing_for_nbd()), reason=missing_for_nbd())
@pytest.mark.parametrize("kind", ["port", "socket"])
def test_nbdcopy_reads_the_plain_image_and_the_reads_are_drawn(kind: str, store: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    with open(plain, "wb") as out:
        source = DirectorySource(str(tmp_path / "tree"))
        build_image(source, Platform("amd64"), out, BuildOptions(format="ext4"))
    where = ("--port", "0") if kind == "port" else ("--socket", tmp_path / "nbd.sock")
    assert "no start of tree was recorded" in run_image("heat", "tree", "--store", store).stderr
    with image_running("serve", "tree", "--nbd", *where, "--store", store) as server:
        info = subprocess.run(["nbdinfo", "--json", server.line], capture_output=True, timeout=DEADLINE_S, check=True)
        export = json.loads(info.stdout)["exports"][0]
        assert (export["export-size"], export["is_read_only"]) == (plain.stat().st_size, True)
        subprocess.run(["nbdcopy", server.line, str(tmp_path / "copy")], timeout=DEADLINE_S, check=True)
    assert (tmp_path / "copy").read_bytes() == plain.read_bytes()
    assert not (tmp_path / "nbd.sock").exists()
    drawn = run_image("heat", "tree", "--store", store)
    assert drawn.stdout.startswith("<svg ")
    assert "read as number 1 after 0 ms" in drawn.stdout
    read = json.loads(run_image("heat", "tree", "--json", "--store", store).stdout)["read"]
    named = {file["path"] for chunk in read for file in chunk["files"]}
    tree = tmp_path / "tree"
    assert named == {f"/{path.relative_to(tree)}" for path in tree.rglob("*") if path.is_file() and path.stat().st_size}


@pytest.mark.skipif(bool(missing_for_ext4()), reason=missing_for_ext4())
def test_a_mounted_image_is_the_tree_and_leaves_nothing_behind(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with image_running("mount", "tree", target, "--store", store) as mount:
        assert mount.line.startswith(f"tree is at {target}"), mount.line
        found = {path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()}
        refused = run_image("gc", "--yes", "--store", store)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "the store is in use" in refused.stderr
    tree = tmp_path / "tree"
    assert found == {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert mounts_below(tmp_path) == []
    assert os.listdir(target) == []
    assert os.listdir(store / "mounts") == []


@pytest.mark.skipif(bool(missing_for_ext4()), reason=missing_for_ext4())
def test_a_directory_that_is_in_use_is_not_mounted_on(store: Path, tmp_path: Path) -> None:
    done = run_image("mount", "tree", tmp_path, "--store", store)
    assert done.returncode == 1
    assert "is no empty directory" in done.stderr


@pytest.mark.skipif(bool(missing_for_ext4()), reason=missing_for_ext4())
def test_a_mount_whose_command_was_killed_goes_away(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "shown"
    target.mkdir()
    command = [sys.executable, "-m", "lambdad", "image", "mount", "tree", str(target), "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            assert str(target) in mounts_below(tmp_path)
        finally:
            process.kill()
    wait_until(lambda: mounts_below(tmp_path) == [], "the end of the mounts", DEADLINE_S)
    wait_until(lambda: os.listdir(store / "mounts") == [], "the end of their directory", DEADLINE_S)
    assert os.listdir(target) == []
