"""`qemu-storage-daemon` under our supervision: a device begins, says its size, and ends with us."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from lambdad.block import vhost_user
from lambdad.block.interface import BlockError
from lambdad.block.nbd import Access
from lambdad.block.nbd_server import NbdServer, ReadOnlyExport
from lambdad.testing.block_doubles import BytesSource
from lambdad.testing.vhost_user import Device, look_at
from lambdad.testing.waiting import wait_until

DEADLINE_S = 60.0
CONTENT = bytes(range(256)) * 4096

needs_daemon = pytest.mark.skipif(
    shutil.which(vhost_user.DAEMON) is None, reason=f"no {vhost_user.DAEMON}: install qemu-system-common"
)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test()

    asyncio.run(bounded())


def test_paths_with_commas_are_values_of_one_option() -> None:
    arguments = vhost_user.arguments(Path("/a,b/nbd"), Path("/c,d"), Access.READ_ONLY)
    assert "server.path=/a,,b/nbd,read-only=on" in arguments[1]
    assert "addr.path=/c,,d,writable=off" in arguments[3]


def test_only_a_disk_that_forgets_can_be_written_to() -> None:
    arguments = vhost_user.arguments(Path("/nbd"), Path("/disk"), Access.COPY_ON_WRITE)
    assert "read-only" not in arguments[1]
    assert arguments[3].endswith(",writable=on")


def test_a_machine_without_the_daemon_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def test() -> None:
        with pytest.raises(BlockError, match="qemu-system-common"):
            async with vhost_user.vhost_user_device(tmp_path / "nbd", tmp_path / "disk", Access.READ_ONLY):
                pass

    run(test)


@needs_daemon
def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(BlockError, match="shorter path"):
            async with vhost_user.vhost_user_device(tmp_path / "nbd", tmp_path / ("x" * 108), Access.READ_ONLY):
                pass

    run(test)


@needs_daemon
def test_a_device_has_the_size_of_the_export_and_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with NbdServer({"": ReadOnlyExport(BytesSource(CONTENT))}) as server:
            await server.listen_unix(str(tmp_path / "nbd"))
            async with vhost_user.vhost_user_device(tmp_path / "nbd", tmp_path / "disk", Access.READ_ONLY):
                assert await asyncio.to_thread(look_at, tmp_path / "disk") == Device(len(CONTENT), is_read_only=True)
            assert not (tmp_path / "disk").exists()

    run(test)


@needs_daemon
def test_a_daemon_that_cannot_begin_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(BlockError, match="No such file"):
            async with vhost_user.vhost_user_device(tmp_path / "nobody", tmp_path / "disk", Access.READ_ONLY):
                pass
        assert not (tmp_path / "disk").exists()

    run(test)


@needs_daemon
def test_a_device_whose_daemon_was_killed_is_over_and_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with NbdServer({"": ReadOnlyExport(BytesSource(CONTENT))}) as server:
            await server.listen_unix(str(tmp_path / "nbd"))
            async with vhost_user.vhost_user_device(tmp_path / "nbd", tmp_path / "disk", Access.READ_ONLY) as device:
                os.kill(device.pid, signal.SIGKILL)
                assert "status -9" in await device.wait_until_ended()

    run(test)


OWNER = """
import asyncio, pathlib, sys
from lambdad.block.nbd import Access
from lambdad.block.nbd_server import NbdServer, ReadOnlyExport
from lambdad.block.vhost_user import vhost_user_device
from lambdad.testing.block_doubles import BytesSource

async def main(directory):
    async with NbdServer({"": ReadOnlyExport(BytesSource(bytes(65536)))}) as server:
        await server.listen_unix(str(directory / "nbd"))
        async with vhost_user_device(directory / "nbd", directory / "disk", Access.READ_ONLY) as device:
            print(device.pid, flush=True)
            await asyncio.Event().wait()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@needs_daemon
def test_the_daemon_ends_with_a_process_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            daemon = int(owner.stdout.readline())
            assert Path(f"/proc/{daemon}/comm").read_text().startswith("qemu-storage")
        finally:
            owner.kill()
    wait_until(lambda: not _is_daemon(daemon), "the end of the daemon", DEADLINE_S)
    assert not (tmp_path / "disk").exists()


def _is_daemon(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return "qemu-storage" in fields and fields.rpartition(")")[2].split()[0] != "Z"
