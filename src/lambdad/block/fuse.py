"""Serves one block source as one FUSE file: drives `fuse_protocol` on a descriptor that somebody else mounted.

Written for this and not taken from a library because the descriptor must outlive the process: the supervisor keeps it,
and an agent that was killed is replaced under the mounted image. Answers from memory are given in the loop's callback,
without a task; the rest are tasks, of which the kernel allows 64 in the background besides one per waiting reader.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import struct
from collections.abc import Sequence
from typing import assert_never

from lambdad.block import fuse_protocol as protocol
from lambdad.block.interface import BlockError, BlockSource

_log = logging.getLogger(__name__)

_IOC_CLONE = 0x8004E500  # FUSE_DEV_IOC_CLONE
_BATCH = 64
"""Requests handled before the loop looks at anything else."""


def clone_descriptor(descriptor: int) -> int:
    """Another channel of the same mount. When it closes, what was taken through it fails instead of hanging."""
    clone = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(clone, _IOC_CLONE, struct.pack("<I", descriptor))
    except OSError:
        os.close(clone)
        raise
    return clone


class FuseFile:
    """The server of one mount. descriptor: of /dev/fuse, past INIT; stays the caller's."""

    def __init__(self, descriptor: int, source: BlockSource) -> None:
        self._descriptor = descriptor
        self._source = source
        self._buffer = memoryview(bytearray(protocol.BUFFER_SIZE))
        self._running: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until the file is unmounted."""
        loop = asyncio.get_running_loop()
        unmounted: asyncio.Future[None] = loop.create_future()
        os.set_blocking(self._descriptor, False)
        async with asyncio.TaskGroup() as group:
            loop.add_reader(self._descriptor, self._on_readable, group, unmounted)
            try:
                await unmounted
            finally:
                loop.remove_reader(self._descriptor)
                for task in self._running.values():
                    task.cancel()

    def _on_readable(self, group: asyncio.TaskGroup, unmounted: asyncio.Future[None]) -> None:
        for _ in range(_BATCH):
            try:
                count = os.readv(self._descriptor, [self._buffer])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ENOENT:  # withdrawn before it was read
                    continue
                # Unmounted or aborted. Anything else ends the service as well: there is nobody to tell.
                if error.errno not in (errno.ENODEV, errno.ECONNABORTED):
                    _log.error("action=fuse_read_failed error=%s", error)
                if not unmounted.done():
                    unmounted.set_result(None)
                return
            self._handle(protocol.parse_request(self._buffer[:count]), group)

    def _handle(self, request: protocol.Request, group: asyncio.TaskGroup) -> None:
        match request:
            case protocol.Read(unique, offset, length):
                self._read(unique, offset, length, group)
            case protocol.GetAttributes(unique):
                self._reply([protocol.reply_attributes(unique, self._source.size)])
            case protocol.StatFileSystem(unique):
                self._reply([protocol.reply_statfs(unique, self._source.size)])
            case protocol.Interrupt(target):
                task = self._running.get(target)
                if task is not None:
                    task.cancel()
            case protocol.Unsupported():
                self._reply([protocol.reply_unsupported(request)])
            case protocol.Init():
                _log.error("action=fuse_init_twice")
            case protocol.Ignored():
                pass
            case _:
                assert_never(request)

    def _read(self, unique: int, offset: int, length: int, group: asyncio.TaskGroup) -> None:
        count = max(0, min(length, self._source.size - offset))
        pieces = self._source.peek(offset, count) if count else ()
        if pieces is not None:
            self._reply([protocol.reply_header(unique, count), *pieces])
            return
        # Resent requests carry a mark in their number, interrupts of them do not.
        key = unique & ~protocol.RESENT
        task = group.create_task(self._read_slowly(unique, offset, count))
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    async def _read_slowly(self, unique: int, offset: int, count: int) -> None:
        try:
            data = await self._source.read(offset, count)
        except BlockError as error:
            _log.warning("action=fuse_read_failed error=%s", error)
            self._reply([protocol.reply_error(unique, errno.EIO)])
        except asyncio.CancelledError:
            self._reply([protocol.reply_error(unique, errno.EINTR)])
            raise
        else:
            self._reply([protocol.reply_header(unique, count), data])

    def _reply(self, buffers: Sequence[bytes | memoryview]) -> None:
        try:
            os.writev(self._descriptor, buffers)
        except OSError as error:
            # ENOENT: the reader was killed meanwhile. ENODEV: unmounted; reading will say so, too.
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ECONNABORTED):
                _log.error("action=fuse_reply_failed error=%s", error)
