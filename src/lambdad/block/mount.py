"""Images as directories: each mounted once per worker, however many sandboxes use it.

    <state>/images/<digest>/manifest   the sealed manifest
    <state>/images/<digest>/disk       the FUSE file: the image as a disk
    <state>/images/<digest>/root       the file system on it, read-only

EROFS mounts the FUSE file itself (Linux 6.12); ext4, and EROFS on older kernels, need a loop device between, which
frees itself. Blocking calls run in threads, because their reads are answered by another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.block.fuse_mount import mount_points, set_read_ahead, unmount
from lambdad.block.interface import BlockError
from lambdad.block.messages import Serve
from lambdad.block.service import BlockService
from lambdad.chunks.files import write_atomically
from lambdad.chunks.manifest import FileSystem, ManifestInvalid, open_manifest
from lambdad.linux import loop, syscalls

_log = logging.getLogger(__name__)

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOATIME = 1, 2, 4, 1024


@dataclass(frozen=True, slots=True)
class MountedImage:
    """digest: of the manifest. root: the directory with the image's files."""

    digest: str
    root: Path


@dataclass(slots=True)
class _Entry:
    users: int = 0
    is_mounted: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ImageMounts:
    """Every image of one worker. `recover` first, `close` last."""

    def __init__(self, state: Path, service: BlockService) -> None:
        self._images = state / "images"
        self._service = service
        self._entries: dict[str, _Entry] = {}

    async def recover(self) -> int:
        """Take away what an earlier worker left. Returns how many mounts that were."""
        return await asyncio.to_thread(remove_leftovers, self._images)

    async def mount_image(self, manifest: bytes, key: bytes, digest: str) -> MountedImage:
        """The image as a directory; call `release` when done. digest: as pinned, hexadecimal; key: the function's.

        Raises `ManifestInvalid`, `BlockError`, `Overloaded`; then nothing is left mounted.
        """
        file_system = open_manifest(manifest, key, digest=digest).shape.file_system
        entry = self._entries.setdefault(digest, _Entry())
        entry.users += 1
        try:
            async with entry.lock:
                if not entry.is_mounted:
                    await self._mount(manifest, key, digest, file_system)
                    entry.is_mounted = True
        except BaseException:
            self._leave(digest, entry)
            raise
        return MountedImage(digest, self._images / digest / "root")

    def started(self, image: MountedImage) -> None:
        """The first start from the image is over: what it has read is the next worker's prefetch."""
        self._service.started(image.digest)

    async def release(self, image: MountedImage) -> None:
        """One user less; the last one unmounts."""
        entry = self._entries.get(image.digest)
        if entry is None:  # `close` was faster
            return
        entry.users -= 1
        async with entry.lock:
            if entry.users == 0 and entry.is_mounted:
                entry.is_mounted = False
                await asyncio.shield(self._unmount(image.digest))
        if entry.users == 0:
            self._entries.pop(image.digest, None)

    async def close(self) -> None:
        """Unmount everything, used or not."""
        for digest, entry in list(self._entries.items()):
            async with entry.lock:
                if entry.is_mounted:
                    entry.is_mounted = False
                    await self._unmount(digest)
        self._entries.clear()

    def _leave(self, digest: str, entry: _Entry) -> None:
        entry.users -= 1
        if entry.users == 0 and not entry.is_mounted:
            self._entries.pop(digest, None)

    async def _mount(self, manifest: bytes, key: bytes, digest: str, file_system: FileSystem) -> None:
        if file_system is FileSystem.UNKNOWN:
            raise ManifestInvalid(f"image {digest} does not say which file system it has: it cannot be mounted")
        folder = self._images / digest
        await asyncio.to_thread(_prepare, folder, manifest)
        try:
            await self._service.serve(
                Serve(
                    id=digest,
                    path=str(folder / "disk"),
                    manifest_path=str(folder / "manifest"),
                    digest=digest,
                    key=key.hex(),
                )
            )
            await _in_thread(_mount_file_system, folder, file_system)
        except OSError as error:
            await self._unmount(digest)
            raise BlockError(f"image {digest}: mounting its {file_system.name} failed: {error}") from error
        except BaseException:
            await asyncio.shield(self._unmount(digest))
            raise

    async def _unmount(self, digest: str) -> None:
        folder = self._images / digest
        await asyncio.to_thread(_unmount_file_system, folder / "root")
        self._service.drop(digest)
        # The supervisor has its own copy of the mount table's entry to remove; a second unmount here does no harm.
        await asyncio.to_thread(_remove, folder)


def remove_leftovers(directory: Path) -> int:
    """Unmount everything below a directory and delete it. Returns the number of mounts."""
    count = unmount_below(directory)
    if not mounts_below(directory):
        shutil.rmtree(directory, ignore_errors=True)
    return count


def unmount_below(directory: Path) -> int:
    """Unmount everything below a directory, the last mounted first, used or not. Returns the number."""
    count = 0
    for path in reversed(mounts_below(directory)):
        _log.warning("action=leftover_mount path=%s", path)
        unmount(path)
        count += 1
    return count


def mounts_below(directory: Path) -> list[str]:
    """Mount points below a directory in the order in which they were mounted."""
    prefix = f"{str(directory).rstrip('/')}/"
    return [point for _, point in mount_points() if point.startswith(prefix)]


async def _in_thread(function: object, folder: Path, file_system: FileSystem) -> None:
    """Not `to_thread`: a mount that was begun is finished even if the caller is cancelled, so that it can be undone."""
    assert callable(function)
    future = asyncio.get_running_loop().run_in_executor(None, function, folder, file_system)
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await future
        raise


def _prepare(folder: Path, manifest: bytes) -> None:
    unmount_below(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "root").mkdir(mode=0o755, exist_ok=True)
    write_atomically(folder / "manifest", manifest, mode=0o600, durable=False)


def _mount_file_system(folder: Path, file_system: FileSystem) -> None:
    disk, root = str(folder / "disk"), str(folder / "root")
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOATIME
    if file_system is FileSystem.EROFS:
        try:
            syscalls.mount(disk, root, "erofs", flags)
            _read_ahead_in(root)
            return
        except OSError as error:
            if error.errno != errno.ENOTBLK:  # a kernel without file-backed mounts
                raise
    backing = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        device = loop.attach(backing)
    finally:
        os.close(backing)
    try:
        kind, options = ("ext4", "noload") if file_system is FileSystem.EXT4 else ("erofs", "")
        syscalls.mount(device.path, root, kind, flags, options)
    finally:
        os.close(device.fd)
    _read_ahead_in(root)


def _read_ahead_in(root: str) -> None:
    device = Path(root).stat().st_dev
    set_read_ahead(f"{os.major(device)}:{os.minor(device)}")


def _unmount_file_system(root: Path) -> None:
    with contextlib.suppress(OSError):
        syscalls.umount(str(root), syscalls.MNT_DETACH)


def _remove(folder: Path) -> None:
    unmount(str(folder / "disk"))
    shutil.rmtree(folder, ignore_errors=True)
