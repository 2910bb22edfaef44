"""A disk that is full in the middle: one line that says so, nothing half-used, and what was there goes on working."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.linux import syscalls
from lambdad.testing import probes
from lambdad.testing.image_command import run_image

ROOM = 64 * 1024**2
"""Enough for a small image; of a large one, for its temporary files at most."""
SIZES = (48 * 1024**2, ROOM + 1024**2)
"""Bytes of an image whose spool fits and whose chunks do not, and of one whose spool does not."""

pytestmark = [pytest.mark.kernel, probes.skip_unless(probes.is_root(), probes.can_mount_overlay())]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store with an image called small, on a disk of its own without much room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    syscalls.mount("tmpfs", str(disk), "tmpfs", 0, f"size={ROOM}")
    try:
        (tmp_path / "small").mkdir()
        (tmp_path / "small" / "file").write_bytes(os.urandom(1024**2))
        done = run_image("pull", f"dir:{tmp_path}/small", "--store", disk / "store")
        assert done.returncode == 0, done.stderr
        yield disk / "store"
    finally:
        syscalls.umount(str(disk), syscalls.MNT_DETACH)


@pytest.mark.parametrize("size", SIZES, ids=["chunks", "spool"])
def test_a_pull_onto_a_full_disk_fails_in_one_line_and_leaves_nothing_of_itself(
    size: int, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "file").write_bytes(os.urandom(size))
    done = run_image("pull", f"dir:{tmp_path}/large", "--store", store)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "full" in done.stderr or "no room" in done.stderr
    assert run_image("ls", "--store", store).stdout.splitlines()[1].startswith("small ")
    verified = run_image("verify", "small", "--store", store)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert [path for path in store.rglob("*") if path.name.startswith(".tmp-")] == []
    assert os.listdir(store / "spool") == []
    freed = run_image("gc", "--yes", "--store", store)
    assert freed.returncode == 0, freed.stderr
