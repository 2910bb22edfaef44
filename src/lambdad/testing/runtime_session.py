"""One case of a conformance run: processes of the runtime, the Runtime API that they talk to, and what they told it.

The API is the platform's own `RuntimeApi`. `Script` is what it does that the platform does seldom.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from lambdad.model.invocation import Invocation
from lambdad.model.limits import STREAM_RESPONSE_MAX
from lambdad.runtime_api.server import LIMITS, MODE_HEADER, RuntimeApi
from lambdad.sandbox.interface import ExitStatus
from lambdad.testing.runtime_places import Place, Running
from lambdad.testing.waiting import wait_until_async
from lambdad.wire.http import BodyFlow, BodyReader, Request, Response
from lambdad.wire.server import HttpServer, Responder

_ARN = "arn:aws:lambda:us-east-1:000000000000:function:conformance"
_ACCEPT_TURNS = 5
"""Turns of the loop between accepting a connection and telling its protocol, with some to spare."""
_CHUNK = 1000


class NonConformance(Exception):
    """What the runtime did that the contract does not allow."""


class Unsupported(Exception):
    """The runtime, or its function, has not got what the case is about, and need not."""


class Ended(NonConformance):
    """The process ended while something else was expected of it."""

    def __init__(self, status: ExitStatus, last_line: str) -> None:
        super().__init__(f"the process ended: {status.describe()}{_quoted(last_line)}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the API does besides its work.

    environment: more variables for the process. refuses_next: answers `next` with 500. closes: hangs up after each
    answer, and says so. chunks: sends events in chunks, without a length. headers: more of them with each event.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    refuses_next: bool = False
    closes: bool = False
    chunks: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    trace_id: str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"
    client_context: str | None = None


@dataclass(slots=True)
class Reply:
    """One thing that the runtime told. kind: ready, response, error, init_error, too_large, stream, stream_error, cut,
    exit.
    """

    kind: str
    payload: bytes = b""
    error_type: str = ""


@dataclass(slots=True)
class _Recorder:
    """`RuntimeEvents` as a queue."""

    replies: asyncio.Queue[Reply] = field(default_factory=asyncio.Queue)
    streamed: bytearray = field(default_factory=bytearray)

    def put(self, kind: str, payload: bytes = b"", error_type: str = "") -> None:
        self.replies.put_nowait(Reply(kind, payload, error_type))

    def ready(self) -> None:
        self.put("ready")

    def waits(self) -> None:
        """Nothing to tell: every case asks for more by an event."""

    def init_failed(self, payload: bytes, error_type: str) -> None:
        self.put("init_error", payload, error_type)

    def responded(self, payload: bytes) -> None:
        self.put("response", payload)

    def errored(self, payload: bytes, error_type: str) -> None:
        self.put("error", payload, error_type)

    def response_too_large(self, size: int) -> None:
        self.put("too_large", str(size).encode())

    def stream_opened(self, content_type: str, flow: BodyFlow) -> None:
        self.streamed.clear()

    def stream_data(self, piece: bytes) -> None:
        if len(self.streamed) + len(piece) <= STREAM_RESPONSE_MAX:
            self.streamed += piece

    def stream_ended(self) -> None:
        self.put("stream", bytes(self.streamed))

    def stream_failed(self, payload: bytes, error_type: str) -> None:
        self.put("stream_error", payload, error_type)

    def stream_cut(self) -> None:
        self.put("cut", bytes(self.streamed))


@dataclass(slots=True)
class Seen:
    """How the runtime sent its answers: requests that asked for `100 Continue`, and that came in chunks.

    late: what it did about invocations that had been taken back: `response`, `error`.
    """

    expects: int = 0
    chunked: int = 0
    late: list[str] = field(default_factory=list)


class Session:
    """Plays the platform to one process at a time. patience: seconds for each step."""

    def __init__(self, place: Place, script: Script, patience: float) -> None:
        self.patience = patience
        self.seen = Seen()
        self.deadline_ms = 0
        self._place = place
        self._script = script
        self._count = 0
        self._taken_back = ""
        self._recorder = _Recorder()
        self._api = RuntimeApi(self._recorder)
        self._running: Running | None = None
        self._server: HttpServer | None = None

    async def start(self) -> None:
        """Start a process. Raises OSError, `StartError`, `SandboxError`."""
        recorder = self._recorder = _Recorder()
        self._api = RuntimeApi(recorder)
        running = self._running = await self._place.start(self._script.environment)
        running.exited.add_done_callback(lambda _: recorder.put("exit"))
        loop = asyncio.get_running_loop()
        self._server = HttpServer(self._handle, LIMITS, loop, self._open_body, MODE_HEADER)
        await self._server.listen(running.listener)

    async def end(self) -> None:
        """Kill the process. Idempotent."""
        server, self._server = self._server, None
        running, self._running = self._running, None
        if running is not None and not running.exited.done():
            running.freeze()  # it must not connect while the server goes: asyncio leaks what it accepts then
        if server is not None:
            await _close(server)
        if running is not None:
            await running.end()

    async def restart(self) -> None:
        """What the platform does after a deadline or an exit: kill, start the next, keep /tmp."""
        await self.end()
        await self.start()

    async def reply(self, seconds: float | None = None) -> Reply:
        """The next thing that the runtime tells; seconds: instead of the patience. Raises `NonConformance`."""
        limit = self.patience if seconds is None else seconds
        try:
            reply = await asyncio.wait_for(self._recorder.replies.get(), limit)
        except TimeoutError:
            raise NonConformance(f"no answer within {limit:g} s{_quoted(self._process.last_line())}") from None
        if reply.kind == "exit":
            raise Ended(self._process.exited.result(), self._process.last_line())
        return reply

    async def is_quiet(self, seconds: float) -> Reply | None:
        """None if the runtime tells nothing for so long; else what it told."""
        try:
            return await asyncio.wait_for(self._recorder.replies.get(), seconds)
        except TimeoutError:
            return None

    async def exit_status(self) -> ExitStatus:
        try:
            return await asyncio.wait_for(asyncio.shield(self._process.exited), self.patience)
        except TimeoutError:
            text = f"the process was still there after {self.patience:g} s; it should exit"
            raise NonConformance(text) from None

    async def ready(self) -> None:
        expect(await self.reply(), "ready")

    async def invoke(self, event: Mapping[str, Any]) -> Reply:
        self.give(event)
        return await self.reply()

    def give(self, event: Mapping[str, Any], seconds: float | None = None) -> None:
        """Hand over an event; seconds: until its deadline."""
        self._count += 1
        self.deadline_ms = int((time.time() + (self.patience if seconds is None else seconds)) * 1000)
        invocation = Invocation(
            request_id=f"00000000-0000-4000-8000-{self._count:012d}",
            payload=orjson.dumps(event),
            invoked_arn=_ARN,
            client_context=self._script.client_context,
            trace_id=self._script.trace_id,
        )
        self._api.deliver(invocation, self.deadline_ms)

    def take_back(self) -> None:
        """The invocation's time is over: from now on the API does not know it."""
        self._taken_back = f"{self._count:012d}/"
        self._api = RuntimeApi(self._recorder)

    def freeze(self) -> None:
        self._process.freeze()

    def thaw(self) -> None:
        self._process.thaw()

    @property
    def _process(self) -> Running:
        assert self._running is not None, "no process was started"
        return self._running

    def _handle(self, request: Request, responder: Responder) -> None:
        if request.method == "POST":
            self.seen.expects += "expect" in request.headers
            self.seen.chunked += "transfer-encoding" in request.headers
            head, _, action = request.path.rpartition("/")
            if self._taken_back and f"{head}/".endswith(self._taken_back):
                self.seen.late.append(action)
        if self._script.refuses_next:
            _refuse(responder)
        else:
            self._api.handle(request, _Scripted(responder, self._script))

    def _open_body(self, request: Request, responder: Responder, flow: BodyFlow) -> BodyReader | None:
        return self._api.open_body(request, responder, flow)


class _Scripted:
    """Answers as the script says. Implements `Responder`."""

    def __init__(self, responder: Responder, script: Script) -> None:
        self._responder = responder
        self._script = script

    def send(self, response: Response) -> None:
        script = self._script
        headers, stream = response.headers, None
        if response.status == 200:
            headers = [*headers, *script.headers]
            stream = _chunks(response.body) if script.chunks else None
        self._responder.send(replace(response, headers=headers, stream=stream, closes=script.closes))

    @property
    def gone(self) -> bool:
        return self._responder.gone


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _CHUNK):
        yield body[start : start + _CHUNK]


@contextlib.asynccontextmanager
async def session_in(place: Place, script: Script, patience: float) -> AsyncIterator[Session]:
    """A session whose first process has been started. Raises what `Place.start` raises."""
    session = Session(place, script, patience)
    try:
        await session.start()
        yield session
    finally:
        await session.end()


def expect(reply: Reply, kind: str) -> None:
    if reply.kind != kind:
        raise NonConformance(f"expected {kind}, got {reply.kind} {reply.payload[:120]!r}")


async def _close(server: HttpServer) -> None:
    """Stop listening, and return when every connection is gone, those just accepted too."""
    for _ in range(_ACCEPT_TURNS):
        await asyncio.sleep(0)
    server.abort()
    await wait_until_async(lambda: not server.connections, "the end of the connections")


def _refuse(responder: Responder) -> None:
    body = b'{"errorMessage":"scripted failure","errorType":"Runtime.Scripted"}'
    responder.send(Response(500, [("Content-Type", "application/json")], body))


def _quoted(last_line: str) -> str:
    return f"; its last line: {last_line}" if last_line else ""
