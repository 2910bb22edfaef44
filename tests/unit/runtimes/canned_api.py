"""A small Runtime API with its events ready, for testing what talks to it: raw HTTP/1.1, no state machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

DEADLINE_S = 60.0
"""For a whole run of a runtime; reached only when something hangs."""

NEXT = "/2018-06-01/runtime/invocation/next"


@dataclass(frozen=True, slots=True)
class Event:
    """What one `next` is answered with. chunked: send the body in chunks; last: close the connection after it."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """A request with a body. Header names are in lower case; trailers are among them."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """`response`, `error`, or `init/error`."""
        return self.path.removeprefix("/2018-06-01/runtime/").removeprefix("invocation/").partition("/")[2]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a runtime did: its posts in order, what it printed, and its exit status (None if it was still running)."""

    posts: Sequence[Posted]
    output: bytes
    status: int | None


class CannedApi:
    """Answers `next` with the events in order, ids `id1`, `id2` …; after the last one `next` is never answered."""

    def __init__(self, events: Sequence[Event], post_status: str = "202 Accepted") -> None:
        self.posts: list[Posted] = []
        self.connections = 0
        self.drained = asyncio.Event()
        self._events = list(events)
        self._given = 0
        self._post_status = post_status

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await self._request(reader, writer):
            await writer.drain()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = dict(_header(line) for line in lines)
        _, path, _ = first.split(" ")
        if path == NEXT:
            if self._given == len(self._events):
                self.drained.set()
                await reader.read()
                return False
            event = self._events[self._given]
            self._given += 1
            writer.write(_answer(event, f"id{self._given}"))
            return not event.last
        body = await _body(reader, headers)
        self.posts.append(Posted(path, headers, body))
        content = b'{"status":"OK"}'
        writer.write(f"HTTP/1.1 {self._post_status}\r\nContent-Type: application/json\r\n".encode())
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        return True


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _answer(event: Event, request_id: str) -> bytes:
    headers = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": request_id,
        "Lambda-Runtime-Deadline-Ms": "4102444800000",
        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
        **event.headers,
    }
    body = event.body
    if event.chunked:
        headers["Transfer-Encoding"] = "chunked"
        half = len(body) // 2
        body = b"".join(b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part)
        body += b"0\r\nA-Trailer: x\r\n\r\n"
    else:
        headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while line := (await reader.readline()).decode().strip():
        name, value = _header(line)
        headers[name] = value
    return b"".join(parts)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """A server on this host, by its `host:port`. Its clients must be gone when the block ends: that is awaited."""
    active: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        active.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
        active.discard(task)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        if active:
            await asyncio.wait(active, timeout=DEADLINE_S)


def _kill(group: int) -> None:
    """A zygote and its fork alike. The group's leader is not reaped before the last call."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


async def run_runtime(
    argv: Sequence[str],
    environment: Mapping[str, str],
    events: Sequence[Event],
    post_status: str = "202 Accepted",
) -> Outcome:
    """Run a runtime until it has taken all events and asks for more, or has ended."""
    api = CannedApi(events, post_status)
    async with serving(api.serve) as address:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env={"PATH": "/usr/bin:/bin", **environment, "AWS_LAMBDA_RUNTIME_API": address},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
                output = tasks.create_task(process.stdout.read())
                drained = tasks.create_task(api.drained.wait())
                ended = tasks.create_task(process.wait())
                await asyncio.wait((drained, ended), return_when=asyncio.FIRST_COMPLETED)
                status = process.returncode
                _kill(process.pid)
                drained.cancel()
        finally:
            _kill(process.pid)
            await process.wait()
    return Outcome(api.posts, output.result(), status)
