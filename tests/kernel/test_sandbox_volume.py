"""Volumes as the kernel makes them: disks in nameless files, and memory where there are no disks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.linux import syscalls
from lambdad.sandbox.volume import MemoryStore, TemplateStores
from lambdad.testing.leftovers import list_holdings
from lambdad.testing.probes import can_mount_loop, skip_unless

pytestmark = [pytest.mark.kernel, skip_unless(can_mount_loop())]

OWNER = (1_900_000_993, 1_900_000_990)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateStores]:
    directory = tmp_path_factory.mktemp("volumes")
    made = TemplateStores(directory)
    yield made
    made.close()
    assert list_holdings(directory).loop_devices == ()
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("size_mb", [16, 512, 10_240])
def test_a_disk_has_room_for_what_was_asked_and_costs_next_to_nothing(stores: TemplateStores, size_mb: int) -> None:
    store = stores.create(size_mb, OWNER)
    mount_fd = store.mount()
    free = os.statvfs(f"/proc/self/fd/{mount_fd}")
    assert size_mb * 1024 * 1024 <= free.f_bavail * free.f_frsize <= size_mb * 1024 * 1024 * 1.1 + 24 * 2**20
    assert free.f_favail > 1000
    os.close(mount_fd)
    store.close()


def test_it_is_empty_and_its_owners(stores: TemplateStores) -> None:
    store = stores.create(16, OWNER)
    mount_fd = store.mount()
    directory = os.open(".", os.O_RDONLY, dir_fd=mount_fd)
    status = os.fstat(directory)
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (*OWNER, 0o700)
    assert os.listdir(directory) == []
    os.close(directory)
    os.close(mount_fd)
    store.close()


def test_files_stay_from_mount_to_mount(stores: TemplateStores) -> None:
    store = stores.create(16, OWNER)
    for expected in ([], ["file"], ["file"]):
        mount_fd = store.mount()
        directory = os.open(".", os.O_RDONLY, dir_fd=mount_fd)
        assert os.listdir(directory) == expected
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=mount_fd))
        os.close(directory)
        os.close(mount_fd)
    store.close()


def test_stores_of_one_template_share_nothing(stores: TemplateStores) -> None:
    one, two = stores.create(16, OWNER), stores.create(16, OWNER)
    first, second = one.mount(), two.mount()
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=first))
    with pytest.raises(FileNotFoundError):
        os.stat("file", dir_fd=second)
    for fd in (first, second):
        os.close(fd)
    one.close()
    two.close()


def test_memory_stays_from_mount_to_mount_and_is_bounded(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "volumes" / "1", 1, OWNER)
    mount_fd = store.mount()
    fd = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=mount_fd)
    with pytest.raises(OSError, match="No space left"):
        for _ in range(10):
            assert os.write(fd, bytes(256 * 1024)) == 256 * 1024
    os.close(fd)
    assert os.statvfs(f"/proc/self/fd/{mount_fd}").f_files == 256
    os.close(mount_fd)
    mount_fd = store.mount()
    assert os.stat("file", dir_fd=mount_fd).st_size > 0
    os.close(mount_fd)
    store.close()
    assert list((tmp_path / "volumes").iterdir()) == []
    with pytest.raises(OSError, match="umount"):
        syscalls.umount(str(tmp_path / "volumes"))
