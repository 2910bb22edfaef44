"""An NBD server on asyncio: drives `nbd.NbdMachine` on sockets and serves block sources.

Every connection has its own machine, bounded memory and bounded concurrency. A client that vanishes takes its own
connection with it and nothing else; one that stops reading stops being served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from lambdad.block.interface import BlockError, BlockSource, Extent, NoSpace, WritableSource
from lambdad.block.nbd import (
    Access,
    BlockStatus,
    Cache,
    Disconnected,
    Export,
    Flush,
    NbdError,
    NbdMachine,
    NbdViolation,
    Read,
    Request,
    Selected,
    StartTls,
    TlsPolicy,
    Write,
    WriteZeros,
)

_log = logging.getLogger(__name__)

_PIECE = 256 * 1024
_PART = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadOnlyExport:
    """Everybody reads the same source. The server does not close it."""

    source: BlockSource
    description: str = ""


@dataclass(frozen=True, slots=True)
class CopyOnWriteExport:
    """Each connection writes to an overlay of its own, made by `open` and thrown away at its end.

    size: bytes.
    """

    size: int
    open: Callable[[], Awaitable[WritableSource]]
    description: str = ""


AnyExport = ReadOnlyExport | CopyOnWriteExport


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdLimits:
    """requests: under way per connection. handshake_s: until an export is selected. close_s: to let answers out."""

    connections: int = 64
    requests: int = 16
    handshake_s: float = 30.0
    close_s: float = 5.0


class NbdServer:
    """`async with NbdServer(...) as server:` then `listen_tcp` or `listen_unix`."""

    def __init__(
        self,
        exports: Mapping[str, AnyExport],
        *,
        tls: ssl.SSLContext | None = None,
        policy: TlsPolicy = TlsPolicy.NONE,
        limits: NbdLimits | None = None,
    ) -> None:
        if (policy is TlsPolicy.NONE) != (tls is None):
            raise ValueError("TLS needs a policy and a context, or neither")
        self._exports = dict(exports)
        self._tls = tls
        self._policy = policy
        self._limits = limits or NbdLimits()
        self._connections: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> NbdServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen_tcp(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Returns the port."""
        server = await asyncio.start_server(self._serve, host, port, limit=_PIECE)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def listen_unix(self, path: str) -> None:
        self._servers.append(await asyncio.start_unix_server(self._serve, path, limit=_PIECE))

    async def close(self) -> None:
        """Stop listening and end every connection. Idempotent."""
        for server in self._servers:
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._limits.connections:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            connection = _Connection(self._exports, self._tls, self._policy, self._limits, reader, writer)
            await connection.run()
        except asyncio.CancelledError:
            # The stream's callback would report a cancelled handler as an error; the server is closing.
            pass
        except (NbdViolation, OSError, TimeoutError, ssl.SSLError) as error:
            _log.info("action=nbd_connection_lost error=%s", error)
        except Exception:
            _log.exception("action=nbd_connection_failed")
        finally:
            self._connections.discard(task)
            writer.transport.abort()


class _Connection:
    """One client."""

    def __init__(
        self,
        exports: Mapping[str, AnyExport],
        tls: ssl.SSLContext | None,
        policy: TlsPolicy,
        limits: NbdLimits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._exports = exports
        self._tls = tls
        self._limits = limits
        self._reader = reader
        self._writer = writer
        self._machine = NbdMachine({name: _announce(export) for name, export in exports.items()}, policy)
        self._slots = asyncio.Semaphore(limits.requests)
        self._source: BlockSource | None = None
        self._overlay: WritableSource | None = None

    async def run(self) -> None:
        try:
            async with asyncio.timeout(self._limits.handshake_s):
                early = await self._handshake()
            if early is not None:
                try:
                    await self._transmission(early)
                except ExceptionGroup as failures:
                    # The tasks of a connection fail together when its socket does: one of them tells it all.
                    raise failures.exceptions[0] from failures
        finally:
            if self._overlay is not None:
                await self._overlay.close()

    async def _handshake(self) -> list[Request] | None:
        """Until an export is selected: the requests that came in the same breath; None if there will be none."""
        while True:
            await self._flush()
            data = await self._reader.read(_PIECE)
            if not data:
                return None
            requests: list[Request] = []
            selected = over = False
            for event in self._machine.receive(data):
                match event:
                    case StartTls():
                        await self._start_tls()
                    case Selected(name):
                        await self._open(self._exports[name])
                        selected = True
                    case Disconnected():
                        over = True
                    case _:
                        requests.append(event)
            await self._flush()
            if selected:
                return requests
            if over:
                return None

    async def _start_tls(self) -> None:
        # A client waits for our answer before it goes on: bytes that are here already were slipped in by somebody
        # else, and must not be taken for what will come encrypted.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await self._reader.read(1)
                raise NbdViolation("bytes between STARTTLS and its answer")
        await self._flush()
        assert self._tls is not None
        await self._writer.start_tls(self._tls)
        self._machine.tls_started()

    async def _open(self, export: AnyExport) -> None:
        match export:
            case ReadOnlyExport(source):
                self._source = source
            case CopyOnWriteExport():
                self._source = self._overlay = await export.open()
            case _:
                assert_never(export)

    async def _transmission(self, early: list[Request]) -> None:
        async with asyncio.TaskGroup() as group:
            for request in early:
                await self._start(group, request)
            while not self._machine.is_over:
                data = await self._reader.read(_PIECE)
                if not data:
                    # Vanished: nobody is left to answer.
                    raise ConnectionResetError("the client vanished")
                for event in self._machine.receive(data):
                    if not isinstance(event, (StartTls, Selected, Disconnected)):
                        await self._start(group, event)
                await self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close_s):
                await self._flush()
                # Not `abort` yet: what is in the transport's buffer is the end of the last answer.
                self._writer.close()
                await self._writer.wait_closed()

    async def _start(self, group: asyncio.TaskGroup, request: Request) -> None:
        assert self._source is not None
        if isinstance(request, Read) and request.length <= _PIECE * 4:
            pieces = self._source.peek(request.offset, request.length)
            if pieces is not None:
                self._machine.reply_data(request.cookie, request.offset, pieces)
                await self._flush()
                return
        await self._slots.acquire()
        group.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            try:
                await self._answer(request)
            except NoSpace as error:
                self._machine.reply_error(request.cookie, NbdError.NO_SPACE, str(error))
            except BlockError as error:
                _log.warning("action=nbd_request_failed error=%s", error)
                self._machine.reply_error(request.cookie, NbdError.IO, str(error))
            await self._flush()
        finally:
            # Only after the client has taken the answer: who does not read is not served further.
            self._slots.release()

    async def _answer(self, request: Request) -> None:
        assert self._source is not None
        match request:
            case Read():
                await self._read(self._source, request)
            case BlockStatus(_, offset, length, _):
                self._machine.reply_status(request, self._source.extents(offset, length))
            case Cache(cookie, offset, length):
                await _touch(self._source, offset, length)
                self._machine.reply_ok(cookie)
            case Flush(cookie):
                # Nothing outlives the connection: an overlay is in memory and in a file without a name.
                self._machine.reply_ok(cookie)
            case Write(cookie, offset, data):
                assert self._overlay is not None
                await self._overlay.write(offset, data)
                self._machine.reply_ok(cookie)
            case WriteZeros(cookie, offset, length):
                assert self._overlay is not None
                await self._overlay.write_zeros(offset, length)
                self._machine.reply_ok(cookie)
            case _:
                assert_never(request)

    async def _read(self, source: BlockSource, request: Read) -> None:
        if not self._machine.can_reply_holes(request):
            data = await source.read(request.offset, request.length)
            self._machine.reply_data(request.cookie, request.offset, [data])
            return
        # Part by part, each taken by the client before the next is read: a big read needs little memory. An error
        # after some parts is in the protocol.
        offset, end = request.offset, request.offset + request.length
        for extent in source.extents(request.offset, request.length):
            for start in range(offset, offset + extent.length, _PART):
                count = min(_PART, offset + extent.length - start)
                part = Extent(count, is_zero=True) if extent.is_zero else await source.read(start, count)
                self._machine.reply_part(request.cookie, start, part, is_last=start + count == end)
                await self._flush()
            offset += extent.length

    async def _flush(self) -> None:
        out = self._machine.take()
        if out:
            self._writer.writelines(out)
            await self._writer.drain()


async def _touch(source: BlockSource, offset: int, length: int) -> None:
    while length:
        count = min(length, _PART)
        await source.read(offset, count)
        offset += count
        length -= count


def _announce(export: AnyExport) -> Export:
    match export:
        case ReadOnlyExport(source, description):
            return Export(source.size, Access.READ_ONLY, description)
        case CopyOnWriteExport(size, _, description):
            return Export(size, Access.COPY_ON_WRITE, description)
    assert_never(export)
