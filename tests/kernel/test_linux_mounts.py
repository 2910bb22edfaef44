"""Detached mounts, as the kernel makes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.linux import mounts, syscalls
from lambdad.testing.probes import can_mount_overlay, is_root, skip_unless

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_mount_overlay())]


@pytest.fixture
def scratch(tmp_path: Path) -> str:
    directory = tmp_path / "scratch"
    directory.mkdir()
    return str(directory)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def fds() -> Iterator[list[int]]:
    opened: list[int] = []
    yield opened
    for fd in opened:
        os.close(fd)


def _read(mount_fd: int, path: str) -> str:
    with open(os.open(path, os.O_RDONLY, dir_fd=mount_fd)) as file:
        return file.read()


def test_a_clone_is_read_only_and_the_original_is_not(tmp_path: Path, fds: list[int]) -> None:
    (tmp_path / "file").write_text("content")
    fds.append(mounts.clone_read_only(str(tmp_path)))
    assert _read(fds[0], "file") == "content"
    with pytest.raises(OSError, match="Read-only file system"):
        os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=fds[0])
    (tmp_path / "file").write_text("changed")
    assert _read(fds[0], "file") == "changed"


def test_a_detached_mount_is_in_no_mount_table(tmp_path: Path, fds: list[int]) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    fds.append(mounts.clone_read_only(str(tmp_path)))
    assert Path("/proc/self/mountinfo").read_text() == before


def test_twelve_layers_with_difficult_names_are_merged_in_their_order(tmp_path: Path, fds: list[int]) -> None:
    lowers = [tmp_path / f"{number}:,\\ \n=" for number in range(mounts.LOWERS_MAX)]
    for number, lower in enumerate(lowers):
        lower.mkdir()
        (lower / "same").write_text(str(number))
        (lower / f"only-{number}").write_text("")
    fds.append(mounts.merge_read_only([str(lower) for lower in lowers]))
    assert _read(fds[0], "same") == "0"
    for number in range(mounts.LOWERS_MAX):
        assert _read(fds[0], f"only-{number}") == ""


@pytest.mark.parametrize("count", [0, mounts.LOWERS_MAX + 1])
def test_no_layer_or_too_many_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 12"):
        mounts.merge_read_only(["/usr"] * count)


def test_a_layer_that_is_missing_leaves_no_descriptor_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        mounts.merge_read_only(["/usr", "/no/such/layer"])
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_root_gets_the_mount_points_that_it_lacks_without_being_changed(
    root: Path, scratch: str, fds: list[int]
) -> None:
    (root / "var").mkdir()
    (root / "file").write_text("of the root")
    fds.append(mounts.root_with_mount_points(str(root), ["/proc", "/var/task/deep"], ["/etc/one"], scratch))
    for path in ("proc", "var/task/deep"):
        assert os.stat(path, dir_fd=fds[0]).st_mode & 0o170000 == 0o040000
    assert _read(fds[0], "etc/one") == ""
    assert _read(fds[0], "file") == "of the root"
    assert sorted(entry.name for entry in root.iterdir()) == ["file", "var"]
    with pytest.raises(OSError, match="Read-only file system"):
        os.mkdir("new", dir_fd=fds[0])


def test_mount_points_below_links_of_a_root_stay_inside_of_it(root: Path, scratch: str, fds: list[int]) -> None:
    """An image may say that /var is `/etc/../../..`: it is its own root that it leads to."""
    (root / "var").symlink_to("/../../srv")
    (root / "srv").mkdir()
    fds.append(mounts.root_with_mount_points(str(root), ["/var/lambdad-test"], [], scratch))
    assert os.stat("srv/lambdad-test", dir_fd=fds[0])
    assert not Path("/srv/lambdad-test").exists()


def test_a_root_that_lacks_nothing_is_cloned(root: Path, scratch: str, fds: list[int]) -> None:
    for name in ("proc", "dev"):
        (root / name).mkdir()
    fds.append(mounts.root_with_mount_points(str(root), ["/proc", "/dev"], [], scratch))
    (root / "later").write_text("seen through")
    assert _read(fds[0], "later") == "seen through"


def test_a_file_system_that_the_kernel_does_not_have_is_named() -> None:
    with pytest.raises(OSError, match="no-such-kind"):
        syscalls.make_filesystem("no-such-kind", {}, 0)
