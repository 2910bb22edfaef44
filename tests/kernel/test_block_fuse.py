"""The FUSE file: bytes, errors, interrupts, unmounting."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from lambdad.block.fuse import clone_descriptor
from lambdad.block.fuse_mount import mount_file, unmount
from lambdad.block.interface import BlockError
from lambdad.testing.block_doubles import BytesSource, make_reader
from lambdad.testing.block_fuse import fuse_file
from lambdad.testing.block_images import missing_for_mounts
from lambdad.testing.waiting import wait_until_async

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(bool(missing_for_mounts()), reason=missing_for_mounts() or "can mount"),
]

DEADLINE_S = 60.0


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await test()

    asyncio.run(bounded())


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(function, *arguments)


def make_content() -> bytes:
    chooser = random.Random(13)
    parts = [chooser.randbytes(70_000) if chooser.random() < 0.6 else bytes(90_000) for _ in range(60)]
    return b"".join(parts) + b"the end"


def compare_at_random(path: Path, content: bytes) -> None:
    """200 reads at random places, the page cache dropped between some, and the whole."""
    chooser = random.Random(14)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for number in range(200):
            offset = chooser.randrange(len(content) + 10)
            length = chooser.choice((1, 4095, 4096, 4097, 200_000, 3_000_000))
            if number % 10 == 0:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(descriptor, length, offset) == content[offset : offset + length]
    finally:
        os.close(descriptor)
    assert path.read_bytes() == content


@pytest.mark.parametrize("memory", [2**30, 0], ids=["chunks in memory", "nothing in memory"])
def test_random_reads_equal_the_plain_image(memory: int, tmp_path: Path) -> None:
    async def test() -> None:
        content = make_content()
        reader = await make_reader(content, chunk_size=65_536, memory=memory)
        async with fuse_file(reader, tmp_path / "disk") as path:
            await in_thread(compare_at_random, path, content)

    run(test)


def test_the_file_is_read_only_and_has_the_size_of_the_image(tmp_path: Path) -> None:
    async def test() -> None:
        async with fuse_file(BytesSource(b"x" * 5000), tmp_path / "disk") as path:
            status = await in_thread(path.stat)
            assert status.st_size == 5000
            assert stat.S_ISREG(status.st_mode)
            with pytest.raises(OSError) as raised:
                await in_thread(path.write_bytes, b"y")
            assert raised.value.errno == errno.EROFS
            await in_thread(os.statvfs, path)
            with pytest.raises(OSError):
                await in_thread(os.getxattr, path, "user.x")

    run(test)


def test_an_empty_image_is_an_empty_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with fuse_file(BytesSource(b""), tmp_path / "disk") as path:
            assert await in_thread(path.read_bytes) == b""

    run(test)


def test_a_source_that_fails_is_an_input_output_error_and_the_next_read_may_succeed(tmp_path: Path) -> None:
    async def test() -> None:
        source = BytesSource(b"x" * 5000, is_in_memory=False)
        source.failure = BlockError("origin down")
        async with fuse_file(source, tmp_path / "disk") as path:
            with pytest.raises(OSError) as raised:
                await in_thread(path.read_bytes)
            assert raised.value.errno == errno.EIO
            source.failure = None
            assert await in_thread(path.read_bytes) == b"x" * 5000

    run(test)


READ = "import os, sys; os.read(os.open(sys.argv[1], os.O_RDONLY), 4096)"


def test_a_reader_that_waits_can_be_killed(tmp_path: Path) -> None:
    """A fetch that never ends must not make a process that never ends."""

    async def test() -> None:
        source = BytesSource(b"x" * 5000, is_in_memory=False)
        source.gate = asyncio.Event()
        async with fuse_file(source, tmp_path / "disk") as path:
            child = subprocess.Popen([sys.executable, "-c", READ, str(path)])
            await wait_until_async(lambda: source.reads > 0, "the read arrives", DEADLINE_S)
            child.send_signal(signal.SIGKILL)
            assert await in_thread(child.wait, DEADLINE_S) == -signal.SIGKILL
            source.gate.set()
            assert await in_thread(path.read_bytes) == b"x" * 5000

    run(test)


def test_unmounting_frees_readers_that_wait(tmp_path: Path) -> None:
    async def test() -> None:
        source = BytesSource(b"x" * 5000, is_in_memory=False)
        source.gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            async with fuse_file(source, tmp_path / "disk") as path:
                reading = group.create_task(_errno_of(path))
                await wait_until_async(lambda: source.reads > 0, "the read arrives", DEADLINE_S)
            assert await reading in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.EINTR)

    run(test)


async def _errno_of(path: Path) -> int | None:
    try:
        await in_thread(path.read_bytes)
    except OSError as error:
        return error.errno
    return None


def test_requests_taken_through_a_clone_fail_when_it_closes_instead_of_hanging(tmp_path: Path) -> None:
    """What older kernels have instead of resending (see the agent)."""

    async def test() -> None:
        mount = mount_file(str(tmp_path / "disk"))
        try:
            clone = clone_descriptor(mount.descriptor)
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(_errno_of(tmp_path / "disk"))
                await wait_until_async(lambda: _take(clone), "a request arrives", DEADLINE_S)
                os.close(clone)
                assert await reading == errno.ECONNABORTED
        finally:
            unmount(mount.path)
            os.close(mount.descriptor)

    run(test)


def _take(descriptor: int) -> bool:
    try:
        return len(os.read(descriptor, 65_536)) > 0
    except BlockingIOError:
        return False
