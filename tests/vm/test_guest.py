"""The guest is the machine that the kernel suites mean to run on. Run only there (`make test-vm`)."""

from __future__ import annotations

from pathlib import Path

import pytest

IN_GUEST = Path("/usr/local/sbin/guest-init").exists()

pytestmark = pytest.mark.skipif(not IN_GUEST, reason="about the QEMU guest of `make test-vm`, and this is not it")


def test_cgroup_v2_carries_every_controller_that_sandboxes_need() -> None:
    controllers = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    assert {"cpu", "memory", "pids", "io"} <= set(controllers)


def test_no_cgroup_v1_hierarchy_is_mounted() -> None:
    types = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    assert "cgroup2" in types
    assert "cgroup" not in types


@pytest.mark.parametrize("name", ["overlay", "ext4", "fuseblk", "erofs"])
def test_file_system_of_sandboxes_and_images_is_there(name: str) -> None:
    assert name in Path("/proc/filesystems").read_text().split()
