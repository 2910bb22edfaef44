"""The HTTP server, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from lambdad.wire.http import Request, Response
from lambdad.wire.server import Handler, HttpServer, Responder, ServerLimits

DEADLINE_S = 30.0
Client = Callable[[bytes], Awaitable[bytes]]


def serve(handler: Handler, client: Callable[[HttpServer, int], Awaitable[None]], **limits: float) -> None:
    """Run `client` against a server with `handler`."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = HttpServer(handler, ServerLimits(**limits), loop)  # type: ignore[arg-type]
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
