"""The worker's end: starts the supervisor, asks for FUSE files, hears what became of them."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from typing import assert_never

from lambdad.block.interface import BlockError
from lambdad.block.messages import (
    MESSAGE_MAX,
    Configure,
    Drop,
    Lost,
    Message,
    MessageInvalid,
    Refused,
    Serve,
    Serving,
    Started,
    encode_message,
    parse_message,
)
from lambdad.chunks.interface import Overloaded

_log = logging.getLogger(__name__)

_CLOSE_S = 10.0


class BlockService:
    """One supervisor and its agent. Belongs to one event loop."""

    def __init__(self, config: Configure) -> None:
        self._config = config
        self._socket: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._lost = ""
        self.on_lost: Callable[[], None] | None = None
        """Called once, when images are lost that nobody has given back."""

    @property
    def lost(self) -> str:
        """Why no image can be served any more; empty as long as they can."""
        return self._lost

    @property
    def pid(self) -> int | None:
        """Of the supervisor."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "lambdad.block.supervisor",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours, self._on_readable)
        self._send(self._config)

    async def serve(self, request: Serve) -> None:
        """Returns when the file can be read. Raises `BlockError`; `Overloaded` if the caches must warm up first."""
        if self._lost:
            raise BlockError(self._lost)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[request.id] = answer
        try:
            self._send(request)
            await answer
        except asyncio.CancelledError:
            self.drop(request.id)
            raise
        finally:
            self._pending.pop(request.id, None)

    def started(self, mount_id: str) -> None:
        """The first start from the mount is over."""
        self._send(Started(mount_id))

    def drop(self, mount_id: str) -> None:
        """Take the file away; whoever still reads it gets an error."""
        self._send(Drop(mount_id))

    async def close(self) -> None:
        """Take every file away. Idempotent."""
        if self._process is None:
            return
        self.on_lost = None
        self._give_up("the block service was closed")
        try:
            await asyncio.wait_for(self._process.wait(), _CLOSE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _send(self, message: Message) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(encode_message(message))
        except OSError as error:
            # A full socket means a supervisor that has hung: as bad as one that is gone.
            self._give_up(f"the block supervisor does not listen: {error}")

    def _on_readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(MESSAGE_MAX)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._give_up("the block supervisor has died")
            return
        message = parse_message(data)
        match message:
            case Serving(mount_id):
                self._settle(mount_id, None)
            case Refused(mount_id, reason, is_overloaded):
                self._settle(mount_id, Overloaded(reason) if is_overloaded else BlockError(reason))
            case Lost(reason):
                self._give_up(reason)
            case Configure() | Serve() | Started() | Drop():
                raise MessageInvalid(f"{message} from the supervisor")
            case _:
                assert_never(message)

    def _settle(self, mount_id: str, error: Exception | None) -> None:
        answer = self._pending.pop(mount_id, None)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)

    def _give_up(self, reason: str) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if not self._lost:
            self._lost = reason
            _log.info("action=block_service_over reason=%s", reason)
            if self.on_lost is not None:
                self.on_lost()
        for mount_id in list(self._pending):
            self._settle(mount_id, BlockError(reason))
