"""Mounting the file and shaking hands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.block.fuse_mount import mount_file, unmount
from lambdad.block.mount import mounts_below
from lambdad.testing.block_images import missing_for_mounts

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(missing_for_mounts()), reason=missing_for_mounts() or "can mount"),
]


def test_a_file_is_mounted_and_unmounted_and_its_mount_point_stays(tmp_path: Path) -> None:
    path = tmp_path / "with a space"
    mount = mount_file(str(path))
    assert mounts_below(tmp_path) == [str(path)]
    unmount(str(path))
    unmount(str(path))
    os.close(mount.descriptor)
    assert mounts_below(tmp_path) == []
    assert path.read_bytes() == b""


def test_closing_the_last_descriptor_gives_errors_and_the_mount_can_be_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    mount = mount_file(str(path))
    os.close(mount.descriptor)
    with pytest.raises(OSError):
        path.stat()
    unmount(str(path))
    assert mounts_below(tmp_path) == []


def test_a_mount_point_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        mount_file(str(tmp_path / "no" / "folder"))
    assert len(os.listdir("/proc/self/fd")) == before
    assert mounts_below(tmp_path) == []
