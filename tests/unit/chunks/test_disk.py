"""The disk tier: limits, restarts, damage, a full disk, one owner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from lambdad.chunks import disk
from lambdad.chunks.disk import DiskInUse, DiskStore, open_disk_store
from lambdad.chunks.interface import ChunkInvalid, ChunkMissing, StoreFull, StoreUnavailable, name_of
from lambdad.testing.chunk_doubles import StepClock


def run_with_store(directory: Path, capacity: int, test: Callable[[DiskStore], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        store = await open_disk_store(directory, capacity, StepClock())
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(run())


def path_of(directory: Path, chunk: bytes) -> Path:
    name = name_of(chunk).hex()
    return directory / name[:2] / name


def test_chunks_survive_a_restart(tmp_path: Path) -> None:
    chunks = [os.urandom(5000) for _ in range(20)]

    async def fill(store: DiskStore) -> None:
        for chunk in chunks:
            await store.put(name_of(chunk), chunk)

    async def check(store: DiskStore) -> None:
        assert [await store.get(name_of(chunk)) for chunk in chunks] == chunks
        assert store.used == 100_000

    run_with_store(tmp_path, 10**6, fill)
    run_with_store(tmp_path, 10**6, check)


def test_the_limit_holds_on_disk_too_and_a_smaller_limit_shrinks_it_at_the_next_start(tmp_path: Path) -> None:
    chunks = [os.urandom(1000) for _ in range(30)]

    async def fill(store: DiskStore) -> None:
        for chunk in chunks:
            await store.put(name_of(chunk), chunk)
        assert store.used == 10_000

    async def check(store: DiskStore) -> None:
        assert store.used == 4_000

    run_with_store(tmp_path, 10_000, fill)
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) == 10_000
    run_with_store(tmp_path, 4_000, check)
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) == 4_000


def test_after_a_restart_what_was_used_last_stays_longest(tmp_path: Path) -> None:
    old, new, newer = (os.urandom(1000) for _ in range(3))

    async def fill(store: DiskStore) -> None:
        await store.put(name_of(old), old)
        await store.put(name_of(new), new)

    async def squeeze(store: DiskStore) -> None:
        await store.put(name_of(newer), newer)
        assert [await store.has(name_of(chunk)) for chunk in (old, new, newer)] == [False, True, True]

    run_with_store(tmp_path, 2000, fill)
    os.utime(path_of(tmp_path, old), (1, 1))
    run_with_store(tmp_path, 2000, squeeze)


def test_what_a_crash_left_is_cleaned_up_and_strangers_are_left_alone(tmp_path: Path) -> None:
    chunk = os.urandom(100)

    async def fill(store: DiskStore) -> None:
        await store.put(name_of(chunk), chunk)

    async def check(store: DiskStore) -> None:
        assert await store.get(name_of(chunk)) == chunk
        assert store.used == 100

    run_with_store(tmp_path, 10_000, fill)
    shard = path_of(tmp_path, chunk).parent
    (shard / ".tmp-half-written").write_bytes(b"xx")
    empty = shard / ("0" * 64)
    empty.touch()
    (shard / "README").write_text("mine")
    (shard / ("1" * 64)).mkdir()
    run_with_store(tmp_path, 10_000, check)
    assert not (shard / ".tmp-half-written").exists()
    assert not empty.exists()
    assert (shard / "README").read_text() == "mine"


def test_a_truncated_file_is_invalid_and_a_deleted_one_is_missing(tmp_path: Path) -> None:
    cut, gone = os.urandom(1000), os.urandom(1000)

    async def test(store: DiskStore) -> None:
        for chunk in (cut, gone):
            await store.put(name_of(chunk), chunk)
        os.truncate(path_of(tmp_path, cut), 999)
        path_of(tmp_path, gone).unlink()
        with pytest.raises(ChunkInvalid, match="999 bytes"):
            await store.get(name_of(cut))
        with pytest.raises(ChunkMissing):
            await store.get(name_of(gone))
        assert not await store.has(name_of(gone))
        await store.put(name_of(cut), cut)
        assert await store.get(name_of(cut)) == cut

    run_with_store(tmp_path, 10_000, test)


def test_a_changed_file_is_invalid_until_it_is_written_again(tmp_path: Path) -> None:
    chunk = os.urandom(1000)

    async def test(store: DiskStore) -> None:
        await store.put(name_of(chunk), chunk)
        path_of(tmp_path, chunk).write_bytes(os.urandom(1000))
        with pytest.raises(ChunkInvalid, match="not the name"):
            await store.get(name_of(chunk))
        await store.put(name_of(chunk), chunk)
        assert await store.get(name_of(chunk)) == chunk

    run_with_store(tmp_path, 10_000, test)


def test_a_full_disk_gives_up_old_chunks_and_then_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [os.urandom(1000) for _ in range(12)]
    real = disk._write
    room = [12_000]

    def write(path: Path, data: bytes) -> None:
        used = sum(file.stat().st_size for file in tmp_path.glob("??/*"))
        if used + len(data) > room[0]:
            raise OSError(28, "No space left on device")
        real(path, data)

    async def test(store: DiskStore) -> None:
        for chunk in chunks:
            await store.put(name_of(chunk), chunk)
        room[0] = 11_000
        extra = os.urandom(1000)
        await store.put(name_of(extra), extra)
        assert await store.get(name_of(extra)) == extra
        assert store.used < 12_000
        room[0] = 0
        last = os.urandom(1000)
        with pytest.raises(StoreFull):
            await store.put(name_of(last), last)
        assert not await store.has(name_of(last))

    monkeypatch.setattr(disk, "_write", write)
    run_with_store(tmp_path, 10**6, test)
    assert [path.name for path in tmp_path.glob("??/.tmp-*")] == []


def test_a_chunk_larger_than_the_store_is_refused(tmp_path: Path) -> None:
    async def test(store: DiskStore) -> None:
        with pytest.raises(StoreFull):
            await store.put(name_of(bytes(1001)), bytes(1001))

    run_with_store(tmp_path, 1000, test)


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    async def test(store: DiskStore) -> None:
        with pytest.raises(DiskInUse, match="in use"):
            await open_disk_store(tmp_path, 1000, StepClock())

    run_with_store(tmp_path, 1000, test)


def test_a_directory_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        asyncio.run(open_disk_store(tmp_path / "file" / "cache", 1000, StepClock()))
