"""The local disk tier: one file per chunk, and the directory is the index.

There is no index file that could disagree with the files: opening the store scans the directory (a stat per chunk,
about a second for 200,000), deletes what a crash left half-written, and ranks chunks by the time of their last use,
kept as the file's modification time. Files are not synced: a power failure may leave one with any bytes, so a chunk is
hashed each time it is read, by the thread that read it. One process owns the directory at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lambdad.chunks.codec import CHUNK_SIZE_MAX
from lambdad.chunks.files import TEMPORARY_PREFIX, write_atomically
from lambdad.chunks.interface import (
    NAME_SIZE,
    ChunkError,
    ChunkInvalid,
    ChunkMissing,
    ChunkName,
    StoreFull,
    StoreUnavailable,
    name_of,
)
from lambdad.chunks.lru_k import LruK
from lambdad.model.clock import Clock

_THREADS = 4
_EVICT_ON_FULL_DISK = 8
"""Chunks given up per attempt when the disk is full although the store is below its limit: others fill it too."""


class DiskInUse(ChunkError):
    """Another process has the directory."""


class DiskStore:
    """At most `capacity` bytes of chunks below `directory`. Make one with `open_disk_store`."""

    def __init__(self, directory: Path, lock: int, policy: LruK[ChunkName], sizes: dict[ChunkName, int], clock: Clock):
        self._directory = directory
        self._lock = lock
        self._policy = policy
        self._sizes = sizes
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk-store")
        self._closed = False

    async def get(self, name: ChunkName) -> bytes:
        size = self._sizes.get(name)
        if size is None:
            raise ChunkMissing(name, str(self._directory))
        self._policy.touch(name, self._clock.monotonic())
        loop = asyncio.get_running_loop()
        try:
            data, found = await loop.run_in_executor(self._threads, _read_and_hash, self._path(name))
        except FileNotFoundError:
            # Evicted while we were on the way, or deleted by somebody else's hand.
            if self._sizes.get(name) == size and not self._path(name).exists():
                self._forget(name)
            raise ChunkMissing(name, str(self._directory)) from None
        except OSError as error:
            raise ChunkInvalid(name, str(self._directory), str(error)) from error
        if len(data) != size:
            raise ChunkInvalid(name, str(self._directory), f"{len(data)} bytes instead of {size}")
        if found != name:
            raise ChunkInvalid(name, str(self._directory), "the hash of the bytes is not the name")
        return data

    async def has(self, name: ChunkName) -> bool:
        return name in self._sizes

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        loop = asyncio.get_running_loop()
        if len(cipher_text) > self._policy.capacity:
            raise StoreFull(f"a chunk of {len(cipher_text)} bytes does not fit into {self._directory}")
        for _ in range(2):
            try:
                await loop.run_in_executor(self._threads, _write, self._path(name), cipher_text)
                break
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise StoreUnavailable(f"disk cache {self._directory}: {error}") from error
                await self._give_up_some()
        else:
            raise StoreFull(f"the disk of {self._directory} is full")
        # Booked only now: a cancelled put may leave a whole chunk that the next scan finds, never a false entry.
        self._sizes[name] = len(cipher_text)
        victims = self._policy.add(name, len(cipher_text), self._clock.monotonic())
        await self._unlink(victims)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._threads.shutdown(wait=True)
        os.close(self._lock)

    @property
    def used(self) -> int:
        """Bytes of chunks."""
        return self._policy.used

    async def _give_up_some(self) -> None:
        victims = [victim for victim in (self._policy.evict() for _ in range(_EVICT_ON_FULL_DISK)) if victim]
        await self._unlink(victims)

    async def _unlink(self, names: list[ChunkName]) -> None:
        for name in names:
            self._sizes.pop(name, None)
        if names:
            paths = [self._path(name) for name in names]
            await asyncio.get_running_loop().run_in_executor(self._threads, _unlink_all, paths)

    def _forget(self, name: ChunkName) -> None:
        self._sizes.pop(name, None)
        self._policy.discard(name)

    def _path(self, name: ChunkName) -> Path:
        text = name.hex()
        return self._directory / text[:2] / text


async def open_disk_store(directory: Path, capacity: int, clock: Clock) -> DiskStore:
    """Take the directory, clean it up and learn what is in it. Raises `DiskInUse` or `StoreUnavailable`."""
    try:
        return await asyncio.to_thread(_open, directory, capacity, clock)
    except OSError as error:
        raise StoreUnavailable(f"disk cache {directory}: {error}") from error


def _open(directory: Path, capacity: int, clock: Clock) -> DiskStore:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DiskInUse(f"{directory} is in use by another process: give each process its own directory") from None
    policy: LruK[ChunkName] = LruK(capacity)
    sizes: dict[ChunkName, int] = {}
    start = clock.monotonic()
    found = sorted(_scan(directory), key=lambda chunk: chunk[2])
    for rank, (name, size, _) in enumerate(found):
        # Only the order is known, not how long ago on this clock: place them all before now, in that order.
        victims = policy.add(name, size, start - (len(found) - rank) * 1e-6)
        sizes[name] = size
        for victim in victims:
            sizes.pop(victim, None)
            (directory / victim.hex()[:2] / victim.hex()).unlink(missing_ok=True)
    return DiskStore(directory, lock, policy, sizes, clock)


def _scan(directory: Path) -> list[tuple[ChunkName, int, float]]:
    found = []
    for number in range(256):
        shard = directory / f"{number:02x}"
        shard.mkdir(mode=0o700, exist_ok=True)
        with os.scandir(shard) as entries:
            for entry in entries:
                name = _parse_name(entry.name)
                status = entry.stat(follow_symlinks=False)
                if name is None or not entry.is_file(follow_symlinks=False) or not 0 < status.st_size <= CHUNK_SIZE_MAX:
                    if entry.name.startswith(TEMPORARY_PREFIX) or name is not None:
                        with contextlib.suppress(OSError):
                            Path(entry.path).unlink()
                    continue
                found.append((name, status.st_size, status.st_mtime))
    return found


def _parse_name(text: str) -> ChunkName | None:
    if len(text) != 2 * NAME_SIZE:
        return None
    try:
        return ChunkName(bytes.fromhex(text))
    except ValueError:
        return None


def _read_and_hash(path: Path) -> tuple[bytes, ChunkName]:
    """The bytes and their name, in one visit to a thread: at 512 KiB each visit costs as much as decrypting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, min(size, CHUNK_SIZE_MAX + 1))
        os.utime(descriptor)
    finally:
        os.close(descriptor)
    return data, name_of(data)


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, data, mode=0o600, durable=False)


def _unlink_all(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
