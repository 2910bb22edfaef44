"""The process that serves blocks: one per worker, all images, one event loop. `python -m lambdad.block.agent FD`.

It gets descriptors of FUSE files from the supervisor and answers what the kernel asks on them. It never opens a path on
an image, its own or another: a read of its own mount would wait for itself. It may be killed at any time; what it knows
is in the manifest files and the caches.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvloop

from lambdad.block import fuse_protocol
from lambdad.block.fetcher import Fetcher
from lambdad.block.fuse import FuseFile, clone_descriptor
from lambdad.block.interface import BlockError
from lambdad.block.messages import (
    MESSAGE_MAX,
    Configure,
    Drop,
    Message,
    MessageInvalid,
    Refused,
    Serve,
    Serving,
    Started,
    encode_message,
    parse_message,
)
from lambdad.block.prefetch import PrefetchPolicy
from lambdad.block.read_path import ReadPath, open_read_path
from lambdad.block.readahead import AheadPolicy
from lambdad.block.reader import ImageReader
from lambdad.block.trace import TraceRecorder, is_worth_saving
from lambdad.chunks.interface import ChunkError, Overloaded
from lambdad.chunks.manifest import ManifestInvalid
from lambdad.model.clock import Clock, SystemClock

_log = logging.getLogger(__name__)

_QUEUE = 4096


class Agent:
    """control: connected SOCK_SEQPACKET socket to the supervisor."""

    def __init__(self, control: socket.socket, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        self._inbox: asyncio.Queue[tuple[Message, int | None] | None] = asyncio.Queue(_QUEUE)
        self._started: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Until the supervisor is gone. Raises `ChunkError`, `BlockError` if the tiers cannot be opened."""
        loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        loop.add_reader(self._control, self._on_readable)
        try:
            first = await self._inbox.get()
            if first is None:
                return
            if not isinstance(first[0], Configure):
                raise MessageInvalid(f"{first[0]} before the configuration")
            config = first[0]
            async with open_read_path(config, self._clock) as path:
                await self._work(path, config)
        finally:
            loop.remove_reader(self._control)

    async def _work(self, path: ReadPath, config: Configure) -> None:
        async with asyncio.TaskGroup() as group:
            mounts: list[asyncio.Task[None]] = []
            while (item := await self._inbox.get()) is not None:
                message, descriptor = item
                match message:
                    case Serve():
                        assert descriptor is not None
                        mounts = [task for task in mounts if not task.done()]
                        mounts.append(group.create_task(self._serve(path, config, message, descriptor)))
                    case Started(mount_id) | Drop(mount_id):
                        event = self._started.get(mount_id)
                        if event is not None:
                            event.set()
                    case _:
                        raise MessageInvalid(f"{message} from the supervisor")
            for task in mounts:
                task.cancel()

    async def _serve(self, path: ReadPath, config: Configure, request: Serve, descriptor: int) -> None:
        """One mount, from descriptor to unmount. Its errors end it and nothing else."""
        try:
            with contextlib.ExitStack() as stack:
                if not request.is_resumed:
                    stack.enter_context(path.gate.start())
                data = await asyncio.to_thread(Path(request.manifest_path).read_bytes)
                reader = path.open_image(data, bytes.fromhex(request.key), request.digest)
                channel = self._open_channel(request, descriptor)
                try:
                    self._tell(Serving(request.id))
                    await self._serve_reader(path, config, request, reader, channel, stack.pop_all())
                finally:
                    if channel != descriptor:
                        os.close(channel)
        except Overloaded as error:
            self._tell(Refused(request.id, str(error), is_overloaded=True))
        except (ManifestInvalid, BlockError, ChunkError, OSError, ValueError) as error:
            self._tell(Refused(request.id, str(error)))
        finally:
            os.close(descriptor)

    async def _serve_reader(
        self,
        path: ReadPath,
        config: Configure,
        request: Serve,
        reader: ImageReader,
        channel: int,
        start: contextlib.ExitStack,
    ) -> None:
        self._started[request.id] = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                learning = group.create_task(self._learn(path, config, request, reader, start))
                await FuseFile(channel, reader).run()
                learning.cancel()
        finally:
            start.close()
            del self._started[request.id]

    async def _learn(
        self, path: ReadPath, config: Configure, request: Serve, reader: ImageReader, start: contextlib.ExitStack
    ) -> None:
        """Prefetch what a start before read, or read ahead if none is known; record this one, for the next."""
        if request.is_resumed:
            return
        recorder = TraceRecorder(self._clock)
        # Before anything is awaited: the first reads come as soon as the file is there.
        reader.observe(recorder)
        known = [entry.position for entry in await path.load_trace(reader.manifest)]
        async with asyncio.TaskGroup() as group:
            policy = PrefetchPolicy(known) if known else AheadPolicy(reader.manifest.shape.positions)
            fetching = group.create_task(Fetcher(reader, policy).run())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._started[request.id].wait(), config.record_s)
            start.close()
            if not known:  # what was recorded is fetched to the end, for the next sandbox
                fetching.cancel()
        reader.unobserve(recorder)
        entries = recorder.entries()
        if is_worth_saving(known, [entry.position for entry in entries]):
            try:
                await path.save_trace(reader.manifest, entries)
            except ChunkError as error:
                _log.warning("action=trace_not_saved error=%s", error)

    def _open_channel(self, request: Serve, descriptor: int) -> int:
        """How this agent talks to the kernel so that its death leaves nobody waiting."""
        if not request.can_resend:
            return clone_descriptor(descriptor)
        if request.is_resumed:
            os.write(descriptor, fuse_protocol.notify_resend())
        return descriptor

    def _tell(self, message: Message) -> None:
        try:
            self._control.send(encode_message(message))
        except OSError as error:
            _log.error("action=supervisor_message_lost error=%s", error)

    def _on_readable(self) -> None:
        try:
            data, ancillary, _, _ = self._control.recvmsg(MESSAGE_MAX, socket.CMSG_SPACE(4))
        except BlockingIOError:
            return
        except ConnectionError:
            data, ancillary = b"", []
        if not data:
            asyncio.get_running_loop().remove_reader(self._control)
            self._inbox.put_nowait(None)
            return
        descriptors = array.array("i")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
        self._inbox.put_nowait((parse_message(data), descriptors[0] if descriptors else None))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="block-agent: %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(Agent(socket.socket(fileno=int(sys.argv[1])), SystemClock()).run())


if __name__ == "__main__":
    main()
