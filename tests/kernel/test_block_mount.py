"""Images mounted by the kernel, through a real supervisor and agent: what they show, and who survives what."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lambdad.block.interface import BlockError
from lambdad.block.messages import Configure
from lambdad.block.mount import ImageMounts, mounts_below
from lambdad.block.service import BlockService
from lambdad.chunks.interface import Overloaded
from lambdad.chunks.manifest import FileSystem, ManifestInvalid
from lambdad.testing.block_images import (
    UploadedImage,
    make_image,
    make_tree,
    missing_for_image,
    upload_file,
)
from lambdad.testing.leftovers import descendants
from lambdad.testing.waiting import wait_until_async

pytestmark = pytest.mark.kernel

DEADLINE_S = 60.0


def needs(file_system: FileSystem) -> None:
    reason = missing_for_image(file_system)
    if reason:
        pytest.skip(reason)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await test()

    asyncio.run(bounded())


async def prepare(tmp_path: Path, file_system: FileSystem) -> tuple[dict[str, bytes], UploadedImage]:
    tree, image = tmp_path / "tree", tmp_path / "image"
    tree.mkdir()
    files = make_tree(tree)
    make_image(tree, image, file_system)
    return files, await upload_file(image, tmp_path / "origin", file_system)


@asynccontextmanager
async def worker(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[BlockService, ImageMounts]]:
    """What a worker has: the service and its mounts; at the end nothing may be mounted."""
    service = BlockService(Configure(origin_directory=str(tmp_path / "origin"), **settings))
    await service.start()
    mounts = ImageMounts(tmp_path / "state", service)
    try:
        yield service, mounts
    finally:
        await mounts.close()
        await service.close()
        await mounts.recover()
    assert mounts_below(tmp_path) == []


def read_tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "lost+found" not in path.parts
    }


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(function, *arguments)


def agent_of(service: BlockService) -> int:
    assert service.pid is not None
    (agent,) = descendants(service.pid)
    return agent


@pytest.mark.parametrize("file_system", [FileSystem.EXT4, FileSystem.EROFS])
def test_a_mounted_image_shows_the_files_it_was_made_of(file_system: FileSystem, tmp_path: Path) -> None:
    needs(file_system)

    async def test() -> None:
        files, image = await prepare(tmp_path, file_system)
        async with worker(tmp_path, cache_directory=str(tmp_path / "cache")) as (_, mounts):
            mounted = await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)
            assert await in_thread(read_tree, mounted.root) == files
            await mounts.release(mounted)
            assert mounts_below(tmp_path) == []

    run(test)


def test_an_image_is_mounted_once_for_all_its_users(tmp_path: Path) -> None:
    needs(FileSystem.EROFS)

    async def test() -> None:
        files, image = await prepare(tmp_path, FileSystem.EROFS)
        async with worker(tmp_path) as (_, mounts):
            wanted = (image.uploaded.manifest, image.key, image.uploaded.digest)
            mounted = await asyncio.gather(*(mounts.mount_image(*wanted) for _ in range(20)))
            assert len(mounts_below(tmp_path)) == 2
            for one in mounted[:-1]:
                await mounts.release(one)
            assert await in_thread(read_tree, mounted[-1].root) == files
            await mounts.release(mounted[-1])
            assert mounts_below(tmp_path) == []
            again = await mounts.mount_image(*wanted)
            assert await in_thread(read_tree, again.root) == files

    run(test)


@pytest.mark.parametrize("file_system", [FileSystem.EXT4, FileSystem.EROFS])
def test_an_agent_that_is_killed_is_replaced_under_the_mounted_image(file_system: FileSystem, tmp_path: Path) -> None:
    """Readers wait a moment longer and notice nothing."""
    needs(file_system)

    async def test() -> None:
        files, image = await prepare(tmp_path, file_system)
        async with worker(tmp_path, memory_bytes=0) as (service, mounts):
            mounted = await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)
            for _ in range(3):
                agent = agent_of(service)
                drop_page_cache(mounted.root)
                async with asyncio.TaskGroup() as group:
                    reading = [group.create_task(in_thread(read_tree, mounted.root)) for _ in range(4)]
                    await asyncio.sleep(0)
                    os.kill(agent, signal.SIGKILL)
                assert [reader.result() for reader in reading] == [files] * 4
                drop_page_cache(mounted.root)
                assert await in_thread(read_tree, mounted.root) == files
                assert agent_of(service) != agent

    run(test)


def drop_page_cache(root: Path) -> None:
    """Of the files and of the disk below them: the next read comes to the agent."""
    for path in (*root.rglob("*"), root.parent / "disk"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def test_an_agent_that_dies_again_and_again_gives_errors_and_hangs_nobody(tmp_path: Path) -> None:
    needs(FileSystem.EROFS)

    async def test() -> None:
        _, image = await prepare(tmp_path, FileSystem.EROFS)
        async with worker(tmp_path) as (service, mounts):
            await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)

            def kill_agents() -> bool:
                for pid in descendants(service.pid or 0):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return bool(service.lost)

            await wait_until_async(kill_agents, "the supervisor gives up", DEADLINE_S)
            assert "died" in service.lost
            disk = tmp_path / "state" / "images" / image.uploaded.digest / "disk"
            # The mount is gone: what is left is the empty file that it was on, or an error.
            with contextlib.suppress(OSError):
                assert await in_thread(disk.read_bytes) == b""
            await mounts.close()
            with pytest.raises(BlockError, match="died"):
                await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)

    run(test)


def test_a_supervisor_that_is_killed_gives_errors_and_hangs_nobody(tmp_path: Path) -> None:
    needs(FileSystem.EROFS)

    async def test() -> None:
        _, image = await prepare(tmp_path, FileSystem.EROFS)
        async with worker(tmp_path) as (service, mounts):
            mounted = await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)
            agent = agent_of(service)
            assert service.pid is not None
            os.kill(service.pid, signal.SIGKILL)
            await wait_until_async(lambda: bool(service.lost), "the service notices", DEADLINE_S)
            await wait_until_async(lambda: not Path(f"/proc/{agent}").exists(), "the agent ends, too", DEADLINE_S)
            with pytest.raises(OSError):
                await in_thread((mounted.root / "d2" / "file5").read_bytes)

    run(test)


def test_what_a_killed_worker_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    needs(FileSystem.EXT4)

    async def test() -> None:
        files, image = await prepare(tmp_path, FileSystem.EXT4)
        first = BlockService(Configure(origin_directory=str(tmp_path / "origin")))
        await first.start()
        wanted = (image.uploaded.manifest, image.key, image.uploaded.digest)
        await ImageMounts(tmp_path / "state", first).mount_image(*wanted)
        await first.close()  # the worker forgets everything: its mounts object is not closed
        assert len(mounts_below(tmp_path)) >= 1
        async with worker(tmp_path) as (_, mounts):
            assert await mounts.recover() >= 1
            assert mounts_below(tmp_path) == []
            mounted = await mounts.mount_image(*wanted)
            assert await in_thread(read_tree, mounted.root) == files

    run(test)


def test_a_manifest_under_another_key_or_of_another_function_is_refused(tmp_path: Path) -> None:
    needs(FileSystem.EROFS)

    async def test() -> None:
        _, image = await prepare(tmp_path, FileSystem.EROFS)
        async with worker(tmp_path) as (_, mounts):
            manifest, digest = image.uploaded.manifest, image.uploaded.digest
            for wrong in (
                (manifest, bytes(32), digest),
                (manifest, image.key, "0" * 64),
                (manifest[:-1], image.key, digest),
                (b"", image.key, digest),
            ):
                with pytest.raises(ManifestInvalid):
                    await mounts.mount_image(*wrong)
            assert mounts_below(tmp_path) == []

    run(test)


def test_a_chunk_that_is_damaged_everywhere_is_an_error_and_never_wrong_bytes(tmp_path: Path) -> None:
    needs(FileSystem.EROFS)

    async def test() -> None:
        _, image = await prepare(tmp_path, FileSystem.EROFS)
        for path in (tmp_path / "origin").rglob("chunks/*/*"):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        async with worker(tmp_path) as (_, mounts):
            with pytest.raises(BlockError):
                await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)
            assert mounts_below(tmp_path) == []

    run(test)


def test_too_many_starts_at_once_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    needs(FileSystem.EROFS)

    async def test() -> None:
        _, image = await prepare(tmp_path, FileSystem.EROFS)
        async with worker(tmp_path, starts=0) as (_, mounts):
            with pytest.raises(Overloaded):
                await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)
            assert mounts_below(tmp_path) == []

    run(test)


def test_what_a_start_reads_is_recorded_for_the_next(tmp_path: Path) -> None:
    needs(FileSystem.EROFS)

    async def test() -> None:
        files, image = await prepare(tmp_path, FileSystem.EROFS)
        async with worker(tmp_path) as (_, mounts):
            mounted = await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)
            assert await in_thread(read_tree, mounted.root) == files
            mounts.started(mounted)
            traces = tmp_path / "origin"
            await wait_until_async(lambda: any(traces.rglob("traces/*")), "the trace is saved", DEADLINE_S)
        async with worker(tmp_path) as (_, mounts):
            mounted = await mounts.mount_image(image.uploaded.manifest, image.key, image.uploaded.digest)
            assert await in_thread(read_tree, mounted.root) == files

    run(test)
