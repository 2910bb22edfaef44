"""The Runtime API over a socket: what real clients send, and the bytes that AWS answers with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
from tests.unit.runtime_api.test_server import NEXT, Events, invocation

from lambdad.model.limits import PAYLOAD_RESPONSE_MAX
from lambdad.runtime_api.server import LIMITS, MODE_HEADER, RuntimeApi
from lambdad.wire.server import HttpServer

DEADLINE_S = 60.0
RESPONSE = "/2018-06-01/runtime/invocation/r1/response"
ERROR = "/2018-06-01/runtime/invocation/r1/error"
ACCEPTED = (202, b'{"status":"OK"}\n')
INVALID_ID = (400, b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n')


class Platform:
    """A served API. `call` is one request of a runtime, by default on the connection that is open."""

    def __init__(self, port: int) -> None:
        self.events = Events()
        self.api = RuntimeApi(self.events)
        self._port = port
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def running(self) -> None:
        """Let the runtime have the invocation `r1`."""
        self.api.deliver(invocation(), 1234)
        status, _, body = await self.send(f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (status, body) == (200, b'{"a":1}')

    async def post(self, path: str, body: bytes = b"null", *headers: str) -> tuple[int, bytes]:
        head = "\r\n".join((f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers))
        status, _, answer = await self.send(head.encode() + b"\r\n\r\n" + body)
        return status, answer

    async def send(self, request: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """On the connection that is open, or a new one."""
        if self._stream is None:
            self._stream = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._stream
        writer.write(request)
        status, headers = await read_head(reader)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            assert await reader.read() == b""
            self.hang_up()
        return status, headers, body

    def hang_up(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None

    @property
    def told(self) -> list[tuple[object, ...]]:
        return self.events.log


async def read_head(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split(" ")[1]), headers


def serve(client: Callable[[Platform], Awaitable[None]]) -> None:
    async def main() -> None:
        async with platform() as served, asyncio.timeout(DEADLINE_S):
            await client(served)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    served = Platform(listener.getsockname()[1])
    server = HttpServer(
        lambda request, responder: served.api.handle(request, responder),
        LIMITS,
        asyncio.get_running_loop(),
        lambda request, responder, flow: served.api.open_body(request, responder, flow),
        MODE_HEADER,
    )
    await server.listen(listener)
    try:
        yield served
    finally:
        served.hang_up()
        server.abort()
        await asyncio.sleep(0)


def test_who_expects_to_continue_is_told_so_before_the_body_and_then_answered() -> None:
    async def client(served: Platform) -> None:
        await served.running()
        head = f"POST {RESPONSE} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        assert (await served.send(head.encode()))[0] == 100
        status, headers, body = await served.send(b"null")
        assert (status, body) == ACCEPTED
        assert headers["content-type"] == "application/json"

    serve(client)


@pytest.mark.parametrize(("path", "told"), [(RESPONSE, ("responded", b"done")), (ERROR, ("errored", b"done", "F"))])
def test_an_answer_in_chunks_with_trailers_is_whole(path: str, told: tuple[object, ...]) -> None:
    """As AWS's client for Go sends every one; its trailers are empty unless a stream failed."""

    async def client(served: Platform) -> None:
        await served.running()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        head += "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
        status, _, body = await served.send(head.encode() + b"3\r\ndon\r\n1;ext=1\r\ne\r\n0\r\nX-Checksum: 1\r\n\r\n")
        assert (status, body) == ACCEPTED
        assert served.told[0][:2] == told[:2]

    serve(client)


def test_a_cause_for_x_ray_of_a_megabyte_is_taken_and_more_is_refused() -> None:
    async def client(served: Platform) -> None:
        await served.running()
        cause = "Lambda-Runtime-Function-XRay-Error-Cause: "
        assert (await served.post(ERROR, b"{}", cause + "c" * 1024 * 1024)) == ACCEPTED
        assert (await served.post(ERROR, b"{}", cause + "c" * 1_200_000))[0] == 431
        assert served.told == [("errored", b"{}", "Function.Unknown")]

    serve(client)


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: ;;;",
        "X-Without: one",
    ],
)
def test_an_answer_counts_whatever_its_content_type_says(header: str) -> None:
    async def client(served: Platform) -> None:
        await served.running()
        assert await served.post(RESPONSE, b"\x00\xff not JSON", header) == ACCEPTED
        assert served.told == [("responded", b"\x00\xff not JSON")]

    serve(client)


def test_an_answer_after_its_time_is_one_to_an_unknown_request() -> None:
    """The platform kills a process at its deadline; what was on its way then finds the next process's API."""

    async def client(served: Platform) -> None:
        await served.running()
        served.api = RuntimeApi(served.events)
        assert await served.post(RESPONSE) == INVALID_ID
        assert await served.post(ERROR) == INVALID_ID
        await served.running()
        assert await served.post(RESPONSE) == ACCEPTED

    serve(client)


def test_another_request_is_unknown_and_harms_nothing() -> None:
    async def client(served: Platform) -> None:
        await served.running()
        for forged in ("r2", "", "R1", "r1%20", ".."):
            assert await served.post(RESPONSE.replace("r1", forged)) == INVALID_ID
        assert await served.post(RESPONSE) == ACCEPTED

    serve(client)


@pytest.mark.parametrize(("again", "call"), [(RESPONSE, "InvocationResponse"), (ERROR, "InvocationErrorResponse")])
def test_a_second_answer_is_no_transition_that_there_is(again: str, call: str) -> None:
    async def client(served: Platform) -> None:
        await served.running()
        assert await served.post(RESPONSE) == ACCEPTED
        text = (
            f"State transition from ResponseSent to {call} failed for runtime. Error: State transition is not allowed"
        )
        body = f'{{"errorMessage":"{text}","errorType":"InvalidStateTransition"}}\n'.encode()
        assert await served.post(again) == (403, body)
        assert served.told == [("responded", b"null")]

    serve(client)


def test_a_response_over_the_limit_is_refused_and_so_is_an_error_after_it() -> None:
    async def client(served: Platform) -> None:
        await served.running()
        text = f"Exceeded maximum allowed payload size ({PAYLOAD_RESPONSE_MAX} bytes)."
        body = f'{{"errorMessage":"{text}","errorType":"RequestEntityTooLarge"}}\n'.encode()
        assert await served.post(RESPONSE, bytes(PAYLOAD_RESPONSE_MAX + 1)) == (413, body)
        assert (await served.post(ERROR, b"{}"))[0] == 403
        assert served.told == [("too_large", PAYLOAD_RESPONSE_MAX + 1)]

    serve(client)


def test_a_response_of_exactly_the_limit_is_taken() -> None:
    async def client(served: Platform) -> None:
        await served.running()
        assert await served.post(RESPONSE, b"7" * PAYLOAD_RESPONSE_MAX) == ACCEPTED

    serve(client)


def test_a_client_may_come_anew_for_each_request_and_wants_no_compression() -> None:
    async def client(served: Platform) -> None:
        served.api.deliver(invocation(), 1234)
        head = f"GET {NEXT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip, br\r\n\r\n"
        status, headers, body = await served.send(head.encode())
        assert (status, body) == (200, b'{"a":1}')
        assert headers["content-type"] == "application/json"
        assert headers["content-length"] == "7"
        assert "content-encoding" not in headers
        assert await served.post(RESPONSE, b"null", "Connection: close") == ACCEPTED

    serve(client)


@pytest.mark.parametrize("body", [b"xyz\r\n", b"-1\r\n", b"4\r\nnulls\r\n", b"ffffffffffffffffff\r\n"])
def test_framing_that_is_broken_ends_the_connection_and_nothing_else(body: bytes) -> None:
    async def client(served: Platform) -> None:
        await served.running()
        head = f"POST {RESPONSE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        status, headers, _ = await served.send(head.encode() + body)
        assert (status, headers["connection"]) == (400, "close")
        assert await served.post(RESPONSE) == ACCEPTED

    serve(client)
