"""An HTTP/1.1 server for asyncio: bytes in, `Request`s to a handler, `Response`s out.

One protocol object for each connection, parsed by httptools. The handler is called with each complete request and a
`Responder`; it answers now or later, from any callback, once. That keeps tasks and awaits off the hot path. Requests
that a client pipelines are handled one after the other. A server may also have a `BodyOpener`: it is asked when the
headers of a request are there, and may take the body in pieces; it, not the handler, then answers.

Every connection has limits: size of the headers, size of the body, time to send a request, time to stay idle, and
reading stops while an answer is outstanding and the next request has arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, cast

import httptools

from lambdad.wire.http import BodyFlow, BodyReader, BodySource, Request, Response


class Responder(Protocol):
    """Where the answer to one request goes."""

    def send(self, response: Response) -> None:
        """Answer. A second answer, or one to a client that has left, is dropped."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        ...


Handler = Callable[[Request, Responder], None]
BodyOpener = Callable[[Request, Responder, BodyFlow], BodyReader | None]
"""Takes a request's body in pieces, or leaves it (None) to be collected for the handler. The request has no body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Sizes in bytes, times in seconds.

    body_discard: an oversized body is read and dropped up to this size, so that the client reads its answer; past it
    the connection is closed.
    """

    headers: int = 1024 * 1024
    body: int = 71 * 1024 * 1024
    body_discard: int = 256 * 1024 * 1024
    request_time: float = 60.0
    idle_time: float = 120.0
    connections: int = 10_000


_REASONS = {status.value: status.phrase for status in HTTPStatus}
_STATUS_LINES = {code: f"HTTP/1.1 {code} {phrase}\r\n" for code, phrase in _REASONS.items()}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PIPELINE_MAX = 8
_BODYLESS = frozenset({204, 304})


class HttpServer:
    """Connections of one listening socket. `sweep` must be called about once a second by whoever owns the server.

    open_body: asked about requests that have `body_header` (lower case); no others pay for it.
    """

    def __init__(
        self,
        handler: Handler,
        limits: ServerLimits,
        loop: asyncio.AbstractEventLoop,
        open_body: BodyOpener | None = None,
        body_header: str = "",
    ) -> None:
        self.handler = handler
        self.open_body = open_body
        self.body_header = body_header
        self.limits = limits
        self.loop = loop
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Serve a socket that is already listening."""
        self._server = await self.loop.create_server(lambda: _Connection(self), sock=listener)

    def sweep(self) -> None:
        """Close connections that take too long to send a request, or have been idle for too long."""
        now = self.loop.time()
        for connection in list(self.connections):
            connection.expire(now)

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    def abort(self) -> None:
        """Stop listening and drop every connection."""
        self.stop_listening()
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_body",
        "_bodyless",
        "_busy",
        "_header_bytes",
        "_headers",
        "_keep_alive",
        "_overflow",
        "_parser",
        "_paused",
        "_peer",
        "_queue",
        "_reader",
        "_received",
        "_since",
        "_source",
        "_stream",
        "_transport",
        "_url",
        "_writable",
        "server",
    )

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._busy: _Responder | None = None
        self._paused = False
        self._keep_alive = True
        self._bodyless = False
        self._peer = ""
        self._since = server.loop.time()
        self._reader: BodyReader | None = None
        self._source: BodySource | None = None
        self._stream: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._received = False
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._overflow = 0

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        self._transport = transport
        if len(self.server.connections) >= self.server.limits.connections:
            transport.abort()
            return
        address = transport.get_extra_info("peername")
        self._peer = address[0] if isinstance(address, tuple) else ""  # text on unix sockets
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        self._transport = None
        self._queue.clear()
        self._writable.set()
        if self._stream is not None:
            self._stream.cancel()
        self._cut()

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._received = True
            self._since = self.server.loop.time()
        try:
            self._parser.feed_data(data)
        except _TooLarge as error:
            self._refuse(error.status, str(error))
        except httptools.HttpParserUpgrade:
            self._refuse(400, "This server does not upgrade connections.")
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, _TooLarge):
                self._refuse(cause.status, str(cause))
            else:
                self._refuse(400, "The request is not valid HTTP/1.1.")
        if self._received and not self._body and self._peer:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Say at once that the first part of a request is here: a client that writes head and body apart sends the body
        only then (Nagle's algorithm), and Linux would let it wait for 40 ms."""
        connection = None if self._transport is None else self._transport.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def eof_received(self) -> bool:
        # Let a half-closed client read its answer, unless it still owes the rest of its request.
        return self._busy is not None and self._reader is None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._source is not None:
            self._source.drained()

    # -- httptools

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        self._check_headers()
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        self._check_headers()
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        if key in self._headers:
            # As signatures and function URLs have it: no space. Cookies alone have a separator of their own.
            text = f"{self._headers[key]}{'; ' if key == 'cookie' else ','}{text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(_CONTINUE)
        server = self.server
        if server.body_header in self._headers and server.open_body is not None and self._is_free:
            self._open_body(server.open_body)

    def on_body(self, body: bytes) -> None:
        if self._reader is not None:
            self._reader.data(body)
            return
        limits = self.server.limits
        self._body.append(body)
        self._overflow += len(body)
        if self._overflow > limits.body:
            self._body.clear()
            if self._overflow > limits.body_discard:
                raise _TooLarge(413, f"The body is larger than {limits.body} bytes.")

    def on_message_complete(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            trailers = self._headers
            self._begin()
            self._received = False
            self.resume()  # whoever held the sender back need not care that this was its last piece
            reader.end(trailers)
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        size = self._overflow
        request = Request(
            self._parser.get_method().decode("ascii"),
            path,
            query,
            self._headers,
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            self._peer,
            overflow=size if size > self.server.limits.body else 0,
        )
        keep_alive = self._parser.should_keep_alive()
        self._begin()
        self._received = False
        if self._busy is None and not self._queue:
            self._handle(request, keep_alive)
            return
        self._queue.append((request, keep_alive))
        if len(self._queue) >= _PIPELINE_MAX and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _check_headers(self) -> None:
        if self._header_bytes > self.server.limits.headers:
            raise _TooLarge(431, f"The request line and headers are larger than {self.server.limits.headers} bytes.")

    @property
    def _is_free(self) -> bool:
        """Whether the request that is coming in is the only one."""
        return self._busy is None and not self._queue

    # -- bodies in pieces

    def _open_body(self, open_body: BodyOpener) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(self._parser.get_method().decode("ascii"), path, query, self._headers, b"", self._peer)
        responder = _Responder(self)
        self._reader = open_body(request, responder, self)
        if self._reader is not None:
            self._headers = {}  # what comes from now on is trailers
            self._busy = responder
            self._bodyless = False
            self._keep_alive = self._parser.should_keep_alive()

    def pause(self) -> None:
        """`BodyFlow`: what has been read already still comes."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def write(self, data: bytes) -> bool:
        """`BodyWriter`, of the response in progress."""
        if self._transport is not None and data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return self._writable.is_set()

    def end(self) -> None:
        if self._transport is not None and self._source is not None:
            self._source = None
            self._transport.write(b"0\r\n\r\n")
            self._finish()

    def _cut(self) -> None:
        """Tell whoever reads or writes a body that there is no more of it."""
        reader, self._reader = self._reader, None
        source, self._source = self._source, None
        if reader is not None:
            reader.cut()
        if source is not None:
            source.lost()

    # -- requests and answers

    def _handle(self, request: Request, keep_alive: bool) -> None:
        self._keep_alive = keep_alive
        self._bodyless = request.method == "HEAD"
        responder = self._busy = _Responder(self)
        self.server.handler(request, responder)

    def respond(self, response: Response) -> None:
        """Write `response`, the answer to the request in progress."""
        transport = self._transport
        if transport is None:
            if response.stream is not None and not isinstance(response.stream, AsyncIterator):
                response.stream.lost()
            return
        if self._reader is not None or response.closes:
            self._keep_alive = False  # answered before its end, nobody waits for the rest; or not wanted any longer
        if response.stream is not None or self._bodyless:
            self._respond_in_pieces(transport, response)
            return
        head = _head(response, len(response.body), self._keep_alive)
        if len(response.body) < 65_536:
            transport.write(head.encode("latin-1") + response.body)
        else:
            transport.writelines((head.encode("latin-1"), response.body))
        self._finish()

    def _respond_in_pieces(self, transport: asyncio.Transport, response: Response) -> None:
        """A stream, or the head alone for those who asked for no more."""
        stream = response.stream
        bodyless = self._bodyless or response.status in _BODYLESS
        length = len(response.body) if stream is None else None
        transport.write(_head(response, length, self._keep_alive).encode("latin-1"))
        if bodyless or stream is None:
            if stream is not None and not isinstance(stream, AsyncIterator):
                stream.lost()
            self._finish()
        elif isinstance(stream, AsyncIterator):
            # Held by the connection, cancelled with it, and its failure ends the connection: nobody else awaits it.
            self._stream = self.server.loop.create_task(self._write_stream(stream))
        else:
            self._source = stream
            stream.open(self)

    async def _write_stream(self, stream: AsyncIterator[bytes]) -> None:
        try:
            async for piece in stream:
                await self._writable.wait()
                if self._transport is None:
                    return
                if piece:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if self._transport is not None:
                self._transport.write(b"0\r\n\r\n")
                self._finish()
        except Exception:
            # The edge of this task. Whoever made the stream has logged why it failed; a cut body is how HTTP says so.
            self.abort()
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    def _finish(self) -> None:
        self._busy = None
        self._since = self.server.loop.time()
        if not self._keep_alive and self._transport is not None:
            self._transport.close()
            return
        if self._queue:
            self._handle(*self._queue.popleft())
        if self._paused and len(self._queue) < _PIPELINE_MAX and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _refuse(self, status: int, text: str) -> None:
        """Answer what is not a request, and hang up."""
        transport = self._transport
        if transport is None:
            return
        self._keep_alive = False
        self._cut()
        body = text.encode()
        head = _head(Response(status, [("Content-Type", "text/plain")]), len(body), keep_alive=False)
        transport.write(head.encode("latin-1") + body)
        transport.close()

    def expire(self, now: float) -> None:
        if self._busy is not None or self._transport is None:
            return
        limit = self.server.limits.request_time if self._received else self.server.limits.idle_time
        if now - self._since > limit:
            self._transport.abort()

    @property
    def closed(self) -> bool:
        return self._transport is None

    def answers(self, responder: _Responder) -> bool:
        return self._busy is responder

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Responder:
    """The answer slot of one request."""

    __slots__ = ("_connection",)

    def __init__(self, connection: _Connection) -> None:
        self._connection: _Connection | None = connection

    def send(self, response: Response) -> None:
        connection = self._connection
        if connection is None or not connection.answers(self):
            return
        self._connection = None
        connection.respond(response)

    @property
    def gone(self) -> bool:
        return self._connection is None or self._connection.closed


class _TooLarge(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _head(response: Response, length: int | None, keep_alive: bool) -> str:
    lines = [_STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} \r\n"]
    for name, value in response.headers:
        if "\r" in value or "\n" in value:
            value = value.replace("\r", " ").replace("\n", " ")
        lines.append(f"{name}: {value}\r\n")
    if response.status in _BODYLESS:
        pass
    elif length is None:
        lines.append("Transfer-Encoding: chunked\r\n")
    else:
        lines.append(f"Content-Length: {length}\r\n")
    lines.append("\r\n" if keep_alive else "Connection: close\r\n\r\n")
    return "".join(lines)
