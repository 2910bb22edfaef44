"""Mounting the file and shaking hands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.block.fuse_mount import READ_AHEAD_KB, mount_file, mount_points, unmount
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


@pytest.mark.skipif(not os.access("/sys/class/bdi", os.W_OK), reason="/sys is read-only: a container")
def test_the_kernel_reads_two_chunks_ahead_even_when_the_path_leads_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    mount = mount_file(str(tmp_path / "link" / "disk"))
    try:
        device = dict(reversed(pair) for pair in mount_points())[str(tmp_path / "real" / "disk")]
        assert Path(f"/sys/class/bdi/{device}/read_ahead_kb").read_text() == f"{READ_AHEAD_KB}\n"
    finally:
        os.close(mount.descriptor)
        unmount(str(tmp_path / "real" / "disk"))


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
