"""A disk for virtual machines: `qemu-storage-daemon` reads our NBD server and is a vhost-user-blk device at a socket.

The virtio queues, which live in the guest's memory, are QEMU's to parse: no code of ours sees them. The daemon is a
process of its own that ends with ours, however ours ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from lambdad.block.interface import BlockError
from lambdad.block.nbd import Access
from lambdad.linux.syscalls import set_parent_death_signal

DAEMON = "qemu-storage-daemon"

_READY_S = 30.0
_END_S = 10.0
_SAID_MAX = 4096
_LINE_MAX = 64 * 1024
_SOCKET_PATH_MAX = 107
"""Bytes that the kernel takes for the name of a Unix socket."""


class VhostUserDevice:
    """The running daemon."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_until_ended(self) -> str:
        """Until the daemon has ended without being asked to; the last that it said."""
        assert self._process.stdout is not None
        said = b""
        while piece := await self._process.stdout.read(_SAID_MAX):
            said = (said + piece)[-_SAID_MAX:]
        status = await self._process.wait()
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        return f"{DAEMON} ended with status {status}{': ' if last else ''}{''.join(last)}"


@contextlib.asynccontextmanager
async def vhost_user_device(nbd: Path, socket: Path, access: Access) -> AsyncIterator[VhostUserDevice]:
    """The export without a name of the NBD server at `nbd` as a device at `socket`, until the block ends.

    Raises `BlockError`: no daemon, or it could not begin.
    """
    program = shutil.which(DAEMON)
    if program is None:
        raise BlockError(f"no {DAEMON}: install QEMU's tools (Debian: qemu-system-common or qemu-utils)")
    if len(bytes(socket)) > _SOCKET_PATH_MAX:
        raise BlockError(f"{socket} is longer than {_SOCKET_PATH_MAX} bytes: take a shorter path for the socket")
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments(nbd, socket, access),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        limit=_LINE_MAX,
        start_new_session=True,  # Ctrl-C is for us: we end it when our own clients are done
        preexec_fn=functools.partial(set_parent_death_signal, signal.SIGTERM),
    )
    try:
        await _wait_until_ready(process)
        yield VhostUserDevice(process)
    finally:
        await asyncio.shield(_end(process))
        socket.unlink(missing_ok=True)


def arguments(nbd: Path, socket: Path, access: Access) -> list[str]:
    """What the daemon is started with. The monitor comes last: it greets when all before it is in place."""
    writable = access is Access.COPY_ON_WRITE
    node = f"driver=nbd,node-name=image,server.type=unix,server.path={_escape(nbd)}"
    node += ",discard=unmap" if writable else ",read-only=on"
    export = f"type=vhost-user-blk,id=disk,node-name=image,addr.type=unix,addr.path={_escape(socket)}"
    export += f",writable={'on' if writable else 'off'}"
    return ["--blockdev", node, "--export", export, "--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"]


async def _wait_until_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(_READY_S):
            while line := await process.stdout.readline():
                if _is_greeting(line):
                    return
                said.append(line.decode(errors="replace").strip())
    except TimeoutError:
        said.append(f"it said nothing that we know in {_READY_S:.0f} s")
    except ValueError:
        said.append(f"it said more than {_LINE_MAX} bytes in one line")
    raise BlockError(f"{DAEMON}: {' '.join(said) or 'ended without a word'}")


def _is_greeting(line: bytes) -> bool:
    try:
        document = json.loads(line)
    except ValueError:
        return False
    return isinstance(document, dict) and "QMP" in document


async def _end(process: asyncio.subprocess.Process) -> None:
    for end in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError):
            end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await process.wait()
                return


def _escape(path: Path) -> str:
    """A path as a value of QEMU's `key=value,...`."""
    return str(path).replace(",", ",,")
