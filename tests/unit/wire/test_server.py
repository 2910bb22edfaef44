"""The HTTP server, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest

from lambdad.testing.waiting import wait_until_async
from lambdad.wire.http import BodyFlow, BodyReader, BodyWriter, Request, Response
from lambdad.wire.server import BodyOpener, Handler, HttpServer, Responder, ServerLimits

DEADLINE_S = 30.0
Client = Callable[[bytes], Awaitable[bytes]]


def serve(
    handler: Handler,
    client: Callable[[HttpServer, int], Awaitable[None]],
    open_body: BodyOpener | None = None,
    **limits: float,
) -> None:
    """Run `client` against a server with `handler`."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = HttpServer(handler, ServerLimits(**limits), loop, open_body, "x-pieces")  # type: ignore[arg-type]
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        await server.listen(listener)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await client(server, listener.getsockname()[1])
        finally:
            server.abort()
            await asyncio.sleep(0)

    asyncio.run(main())


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes, and read until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    received = await reader.read()
    writer.close()
    return received


def echo(request: Request, responder: Responder) -> None:
    responder.send(Response(200, [("X-Path", request.path)], request.body))


def test_the_first_part_of_a_request_is_acknowledged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that writes head and body apart would wait for 40 ms; one that does not costs nothing."""
    options: list[tuple[int, int, int]] = []
    monkeypatch.setattr(TransportSocket, "setsockopt", lambda _, *option: options.append(option))

    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        options.clear()  # asyncio's own
        writer.write(b"POST /whole HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
        await reader.readuntil(b"body")
        assert options == []
        writer.write(b"POST /parts HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
        await wait_until_async(lambda: bool(options), "the acknowledgement")
        writer.write(b"body")
        await reader.readuntil(b"body")
        assert options == [(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)]
        writer.close()

    serve(echo, client)


def test_a_request_is_answered_and_the_connection_kept() -> None:
    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"POST /a?b=c HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head == b"HTTP/1.1 200 OK\r\nX-Path: /a\r\nContent-Length: 2\r\n\r\n"
            assert await reader.readexactly(2) == b"hi"
        writer.close()

    serve(echo, client)


def test_an_answer_that_closes_says_so_and_is_the_last() -> None:
    def hang_up(request: Request, responder: Responder) -> None:
        responder.send(Response(200, [], b"bye", closes=True))

    async def client(server: HttpServer, port: int) -> None:
        answer = await exchange(port, b"GET / HTTP/1.1\r\n\r\n")
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbye"

    serve(hang_up, client)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def client(server: HttpServer, port: int) -> None:
        paths = [f"/{number}" for number in range(40)]
        data = b"".join(f"GET {path} HTTP/1.1\r\n\r\n".encode() for path in paths)
        received = await exchange(port, data + b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n")
        found = [line.split(b": ")[1].decode() for line in received.split(b"\r\n") if line.startswith(b"X-Path")]
        assert found == [*paths, "/last"]

    serve(echo, client)


def test_an_answer_may_come_later_and_only_the_first_counts() -> None:
    waiting: list[Responder] = []

    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        while not waiting:
            await asyncio.sleep(0)
        waiting[0].send(Response(200, [], b"first"))
        waiting[0].send(Response(500, [], b"second"))
        assert (await reader.read()).endswith(b"first")
        writer.close()

    serve(lambda request, responder: waiting.append(responder), client)


def test_a_client_that_says_expect_is_told_to_continue() -> None:
    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        writer.close()

    serve(echo, client)


def test_an_oversized_body_is_dropped_and_the_handler_told_its_size() -> None:
    def size(request: Request, responder: Responder) -> None:
        responder.send(Response(413, [], f"{request.overflow} {len(request.body)}".encode()))

    async def client(server: HttpServer, port: int) -> None:
        body = b"x" * 5000
        request = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n" + body
        assert (await exchange(port, request)).endswith(b"5000 0")

    serve(size, client, body=1000)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 5000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"\x00\x01garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nxx", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90000, 413),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(data: bytes, status: int) -> None:
    async def client(server: HttpServer, port: int) -> None:
        received = await exchange(port, data)
        assert f" {status} ".encode() in received

    serve(echo, client, headers=1000, body=1000, body_discard=50_000)


def test_a_connection_that_dawdles_is_closed_by_the_sweep() -> None:
    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HT")
        while not server.connections:
            await asyncio.sleep(0)
        while server.connections:
            server.sweep()
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    serve(echo, client, request_time=-1.0, idle_time=-1.0)


def test_a_stream_goes_out_in_chunks_and_a_failing_one_is_cut() -> None:
    async def pieces(path: str) -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"
        if path == "/failing":
            raise RuntimeError("the source failed")

    def stream(request: Request, responder: Responder) -> None:
        responder.send(Response(200, [], stream=pieces(request.path)))

    async def client(server: HttpServer, port: int) -> None:
        whole = await exchange(port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert whole.partition(b"\r\n\r\n")[2] == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        try:
            cut = await exchange(port, b"GET /failing HTTP/1.1\r\nConnection: close\r\n\r\n")
        except ConnectionResetError:
            return
        assert not cut.endswith(b"0\r\n\r\n")

    serve(stream, client)


def test_line_ends_in_header_values_cannot_start_a_new_header() -> None:
    def split(request: Request, responder: Responder) -> None:
        responder.send(Response(200, [("X", "a\r\nSet-Cookie: evil")]))

    async def client(server: HttpServer, port: int) -> None:
        received = await exchange(port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert b"\r\nSet-Cookie" not in received

    serve(split, client)


class Pieces:
    """Reads a body in pieces, and answers with all of it."""

    def __init__(self, request: Request, responder: Responder, flow: BodyFlow) -> None:
        self.request = request
        self.responder = responder
        self.flow = flow
        self.pieces: list[bytes] = []
        self.ended: list[str] = []

    def data(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def end(self, trailers: Mapping[str, str]) -> None:
        self.ended.append("end")
        self.responder.send(Response(200, [("X-Trailer", trailers.get("x-t", ""))], b"".join(self.pieces)))

    def cut(self) -> None:
        self.ended.append("cut")


def open_pieces(opened: list[Pieces]) -> BodyOpener:
    def open_body(request: Request, responder: Responder, flow: BodyFlow) -> BodyReader | None:
        if not request.path.startswith("/pieces"):
            return None
        opened.append(Pieces(request, responder, flow))
        return opened[-1]

    return open_body


CHUNKED = b"POST /pieces HTTP/1.1\r\nX-Pieces: y\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"


async def until(is_true: Callable[[], bool]) -> None:
    await wait_until_async(is_true, "what the client waits for", DEADLINE_S)


def test_a_body_in_pieces_comes_as_it_comes_and_trailers_at_its_end() -> None:
    opened: list[Pieces] = []

    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            opened.clear()
            writer.write(CHUNKED + b"2\r\nab\r\n")
            await until(lambda: bool(opened) and opened[0].pieces == [b"ab"])
            assert opened[0].ended == []
            writer.write(b"1\r\nc\r\n0\r\nX-T: why\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"X-Trailer: why\r\n" in head
            assert await reader.readexactly(3) == b"abc"
        writer.write(b"GET /whole HTTP/1.1\r\n\r\n")
        assert b"X-Path: /whole\r\n" in await reader.readuntil(b"\r\n\r\n")
        writer.close()

    serve(echo, client, open_body=open_pieces(opened))


def test_a_sender_that_is_held_back_is_not_read() -> None:
    opened: list[Pieces] = []
    total = 32 * 1024 * 1024

    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /pieces HTTP/1.1\r\nX-Pieces: y\r\nContent-Length: {total}\r\n\r\n".encode())
        await until(lambda: bool(opened))
        opened[0].flow.pause()
        writer.write(bytes(total))
        with pytest.raises(TimeoutError):  # the sockets cannot hold so much: it is stuck for good
            async with asyncio.timeout(0.2):
                await writer.drain()
        assert sum(map(len, opened[0].pieces)) < 1024 * 1024
        opened[0].flow.resume()
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        assert len(await reader.readexactly(total)) == total
        writer.close()

    serve(echo, client, open_body=open_pieces(opened), body=total)


@pytest.mark.parametrize("end", [b"", b"zz\r\n"])
def test_a_body_that_breaks_off_is_told_once(end: bytes) -> None:
    opened: list[Pieces] = []

    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED + b"2\r\nab\r\n" + end)
        await until(lambda: bool(opened))
        writer.write_eof()
        await reader.read()
        await until(lambda: not server.connections)
        assert opened[0].ended == ["cut"]
        writer.close()

    serve(echo, client, open_body=open_pieces(opened))


def test_an_answer_before_the_end_of_a_body_ends_the_connection() -> None:
    opened: list[Pieces] = []

    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED + b"2\r\nab\r\n")
        await until(lambda: bool(opened))
        opened[0].responder.send(Response(413))
        assert (await reader.read()).endswith(b"Connection: close\r\n\r\n")
        await until(lambda: opened[0].ended == ["cut"])
        writer.close()

    serve(echo, client, open_body=open_pieces(opened))


class Pushed:
    """A body that the test pushes."""

    def __init__(self) -> None:
        self.writer: BodyWriter | None = None
        self.log: list[str] = []

    def open(self, writer: BodyWriter) -> None:
        self.writer = writer

    def drained(self) -> None:
        self.log.append("drained")

    def lost(self) -> None:
        self.log.append("lost")


def test_a_pushed_body_is_chunked_and_the_connection_kept() -> None:
    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert b"Transfer-Encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
            source = sources.pop()
            assert source.writer is not None
            assert source.writer.write(b"abc")
            source.writer.write(b"")
            assert await reader.readexactly(8) == b"3\r\nabc\r\n"
            source.writer.end()
            assert await reader.readexactly(5) == b"0\r\n\r\n"
            assert source.log == []
        writer.close()

    sources: list[Pushed] = []
    serve(push(sources), client)


def push(sources: list[Pushed]) -> Handler:
    def handler(request: Request, responder: Responder) -> None:
        sources.append(Pushed())
        responder.send(Response(204 if request.path == "/none" else 200, stream=sources[-1]))

    return handler


def test_a_slow_client_is_told_of_and_one_that_leaves_too() -> None:
    sources: list[Pushed] = []

    async def client(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: bool(sources) and sources[0].writer is not None)
        source = sources[0]
        assert source.writer is not None
        assert not source.writer.write(bytes(64 * 1024 * 1024))
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < 64 * 1024 * 1024:
            received += len(await reader.read(1024 * 1024))
        await until(lambda: source.log == ["drained"])
        writer.transport.abort()

        def is_told() -> bool:  # a half-closed client may still read: it takes a write to know
            assert source.writer is not None
            source.writer.write(b"late")
            return "lost" in source.log

        await until(is_told)
        source.writer.write(b"later")
        source.writer.end()
        assert source.log == ["drained", "lost"]

    serve(push(sources), client)


@pytest.mark.parametrize("request_line", [b"HEAD / HTTP/1.1", b"GET /none HTTP/1.1"])
def test_who_asked_for_no_body_gets_none(request_line: bytes) -> None:
    sources: list[Pushed] = []

    async def client(server: HttpServer, port: int) -> None:
        received = await exchange(port, request_line + b"\r\nConnection: close\r\n\r\n")
        assert received.endswith(b"Connection: close\r\n\r\n")
        assert (sources[0].writer, sources[0].log) == (None, ["lost"])

    serve(push(sources), client)


def test_the_answer_to_head_has_the_length_and_not_the_body() -> None:
    async def client(server: HttpServer, port: int) -> None:
        received = await exchange(port, b"HEAD /x HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        assert received == b"HTTP/1.1 200 OK\r\nX-Path: /x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"

    serve(echo, client)


def test_repeated_headers_are_joined_without_a_space_and_cookies_with_their_own_mark() -> None:
    def tell(request: Request, responder: Responder) -> None:
        responder.send(Response(200, [], f"{request.headers['a']}|{request.headers['cookie']}|{request.peer}".encode()))

    async def client(server: HttpServer, port: int) -> None:
        headers = b"A: 1\r\na: 2, 3\r\nCookie: x=1\r\nCookie: y=2\r\n"
        received = await exchange(port, b"GET / HTTP/1.1\r\nConnection: close\r\n" + headers + b"\r\n")
        assert received.endswith(b"\r\n1,2, 3|x=1; y=2|127.0.0.1")

    serve(tell, client)
