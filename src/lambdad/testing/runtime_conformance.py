"""Runs a custom runtime against a scripted Runtime API and says, case by case, how it keeps to the contract.

The server is the platform's own `RuntimeApi`, on loopback. The tested function speaks the small protocol of
docs/runtimes.md. Rule: every case gets a fresh process in a process group of its own, and leaves none behind. The
runtime is NOT in a sandbox: test only a runtime that you would start yourself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from lambdad.model.invocation import Invocation
from lambdad.runtime_api.server import LIMITS, MODE_HEADER, RuntimeApi
from lambdad.testing.waiting import wait_until_async
from lambdad.wire.http import BodyFlow, Request, Response
from lambdad.wire.server import HttpServer, Responder

_ARN = "arn:aws:lambda:us-east-1:000000000000:function:conformance"
_LARGE = 5 * 1024 * 1024 + 512 * 1024
_STREAM_MAX = 64 * 1024 * 1024
_ACCEPT_TURNS = 5
"""Turns of the loop between accepting a connection and telling its protocol, with some to spare."""


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case. detail: why it did not pass, in one line, else empty."""

    case: str
    verdict: Verdict
    detail: str = ""


@dataclass(slots=True)
class Reply:
    """One thing that the runtime told. kind: ready, response, error, init_error, too_large, stream, stream_error, cut,
    waits, exit."""

    kind: str
    payload: bytes = b""
    error_type: str = ""


class NonConformance(Exception):
    """What the runtime did that the contract does not allow."""


class Unsupported(Exception):
    """The runtime has not got what the case is about, and need not."""


@dataclass(slots=True)
class _Recorder:
    """`RuntimeEvents` as a queue."""

    replies: asyncio.Queue[Reply] = field(default_factory=asyncio.Queue)
    streamed: bytearray = field(default_factory=bytearray)

    def _put(self, kind: str, payload: bytes = b"", error_type: str = "") -> None:
        self.replies.put_nowait(Reply(kind, payload, error_type))

    def ready(self) -> None:
        self._put("ready")

    def waits(self) -> None:
        self._put("waits")

    def init_failed(self, payload: bytes, error_type: str) -> None:
        self._put("init_error", payload, error_type)

    def responded(self, payload: bytes) -> None:
        self._put("response", payload)

    def errored(self, payload: bytes, error_type: str) -> None:
        self._put("error", payload, error_type)

    def response_too_large(self, size: int) -> None:
        self._put("too_large", str(size).encode())

    def stream_opened(self, content_type: str, flow: BodyFlow) -> None:
        self.streamed.clear()

    def stream_data(self, piece: bytes) -> None:
        if len(self.streamed) + len(piece) <= _STREAM_MAX:
            self.streamed += piece

    def stream_ended(self) -> None:
        self._put("stream", bytes(self.streamed))

    def stream_failed(self, payload: bytes, error_type: str) -> None:
        self._put("stream_error", payload, error_type)

    def stream_cut(self) -> None:
        self._put("cut", bytes(self.streamed))


@dataclass(slots=True)
class _Session:
    """One process of the runtime and the server that it talks to. patience: seconds for each step."""

    process: asyncio.subprocess.Process
    recorder: _Recorder
    api: RuntimeApi
    patience: float
    log: Path
    count: int = 0
    deadline_ms: int = 0

    async def reply(self) -> Reply:
        """The next thing that the runtime tells, `waits` aside."""
        try:
            reply = await asyncio.wait_for(self._told(), self.patience)
        except TimeoutError:
            raise NonConformance(f"no answer within {self.patience:g} s{self._last_line()}") from None
        if reply.kind == "exit":
            raise NonConformance(f"the process ended with {self.process.returncode}{self._last_line()}")
        return reply

    async def _told(self) -> Reply:
        while (reply := await self.recorder.replies.get()).kind == "waits":
            pass
        return reply

    async def ready(self) -> None:
        _expect(await self.reply(), "ready")

    async def invoke(self, event: dict[str, Any]) -> Reply:
        self.give(event)
        return await self.reply()

    def give(self, event: dict[str, Any]) -> None:
        self.count += 1
        self.deadline_ms = int((time.time() + self.patience) * 1000)
        request_id = f"00000000-0000-4000-8000-{self.count:012d}"
        invocation = Invocation(request_id=request_id, payload=orjson.dumps(event), invoked_arn=_ARN)
        self.api.deliver(invocation, self.deadline_ms)

    def _last_line(self) -> str:
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 2000))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return f"; its last line: {lines[-1][:200]}" if lines else ""


_Play = Callable[[_Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    play: _Play
    environment: dict[str, str] = field(default_factory=dict)
    refuses_next: bool = False


async def _three_invokes(session: _Session) -> None:
    await session.ready()
    for number in range(3):
        await _echo(session, {"number": number})


async def _utf8(session: _Session) -> None:
    await session.ready()
    await _echo(session, {"text": "grüße, 世界, 🐘, \u2028"})


async def _large(session: _Session) -> None:
    await session.ready()
    await _echo(session, {"text": "x" * _LARGE})


async def _error(session: _Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "error"})
    _expect(reply, "error")
    told = _json(reply.payload)
    if not isinstance(told, dict) or not isinstance(told.get("errorMessage"), str):
        raise NonConformance("the error has no errorMessage")
    await _echo(session, {"after": "error"})


async def _deadline(session: _Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "deadline"})
    _expect(reply, "response")
    if _json(reply.payload) != {"deadline_ms": session.deadline_ms}:
        raise NonConformance(f"the function saw {reply.payload[:80]!r}, not the deadline {session.deadline_ms}")


async def _freeze(session: _Session) -> None:
    await session.ready()
    await _echo(session, {"before": "freeze"})
    os.killpg(session.process.pid, signal.SIGSTOP)
    session.give({"conformance": "echo", "after": "freeze"})
    os.killpg(session.process.pid, signal.SIGCONT)
    _expect(await session.reply(), "response")


async def _stream(session: _Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "stream"})
    if reply.kind == "error":
        raise Unsupported("the function answered with an error: its runtime does not stream")
    _expect(reply, "stream")
    if reply.payload != b"one two three":
        raise NonConformance(f"the stream was {reply.payload[:80]!r}")


async def _stream_error(session: _Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "stream-error"})
    if reply.kind == "error":
        raise Unsupported("the function answered with an error: its runtime does not stream")
    _expect(reply, "stream_error")
    await _echo(session, {"after": "stream-error"})


async def _init_error(session: _Session) -> None:
    _expect(await session.reply(), "init_error")
    await _exits(session)


async def _next_refused(session: _Session) -> None:
    await _exits(session)


CASES = (
    _Case("three-invokes", _three_invokes),
    _Case("utf-8", _utf8),
    _Case("large-body", _large),
    _Case("error", _error),
    _Case("deadline", _deadline),
    _Case("freeze", _freeze),
    _Case("stream", _stream),
    _Case("stream-error", _stream_error),
    _Case("init-error", _init_error, environment={"CONFORMANCE_INIT_ERROR": "1"}),
    _Case("next-refused", _next_refused, refuses_next=True),
)


async def runtime_conformance(bootstrap: Path, *, patience: float = 20.0) -> list[CaseResult]:
    """Play every case with the executable `bootstrap`, one after the other.

    patience: seconds for each step of a case. Raises OSError where `bootstrap` cannot be started.
    """
    return [await _run(case, bootstrap.absolute(), patience) for case in CASES]


async def _run(case: _Case, bootstrap: Path, patience: float) -> CaseResult:
    async with _session(case, bootstrap, patience) as session:
        try:
            await case.play(session)
        except NonConformance as error:
            return CaseResult(case.name, Verdict.FAILED, str(error))
        except Unsupported as error:
            return CaseResult(case.name, Verdict.UNSUPPORTED, str(error))
    return CaseResult(case.name, Verdict.PASSED)


@contextlib.asynccontextmanager
async def _session(case: _Case, bootstrap: Path, patience: float) -> AsyncIterator[_Session]:
    recorder = _Recorder()
    api = RuntimeApi(recorder)
    handler = _refuse if case.refuses_next else api.handle
    server = HttpServer(handler, LIMITS, asyncio.get_running_loop(), api.open_body, MODE_HEADER)
    listener = socket.create_server(("127.0.0.1", 0))
    await server.listen(listener)
    with tempfile.TemporaryDirectory(prefix="lambdad-conformance-") as directory:
        log = Path(directory, "log")
        with _appended(log) as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    bootstrap,
                    cwd=bootstrap.parent,
                    env=_environment(bootstrap, listener.getsockname()[1], case),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError:
                await _close(server)
                raise
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_tell_of_exit(process, recorder))
            try:
                yield _Session(process, recorder, api, patience, log)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await _close(server)


async def _close(server: HttpServer) -> None:
    """Stop listening, and return when every connection is gone, those just accepted too."""
    server.stop_listening()
    for _ in range(_ACCEPT_TURNS):
        await asyncio.sleep(0)
    server.abort()
    await wait_until_async(lambda: not server.connections, "the end of the connections")


def _appended(log: Path) -> BinaryIO:
    return log.open("ab")


async def _tell_of_exit(process: asyncio.subprocess.Process, recorder: _Recorder) -> None:
    await process.wait()
    recorder.replies.put_nowait(Reply("exit"))


def _environment(bootstrap: Path, port: int, case: _Case) -> dict[str, str]:
    return {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": "conformance",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/conformance",
        "AWS_LAMBDA_LOG_STREAM_NAME": "conformance",
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(bootstrap.parent),
        "LANG": "C.UTF-8",
        "PATH": os.environ.get("PATH", os.defpath),
        "_HANDLER": "conformance.handler",
        **case.environment,
    }


async def _echo(session: _Session, more: dict[str, Any]) -> None:
    event = {"conformance": "echo", **more}
    reply = await session.invoke(event)
    _expect(reply, "response")
    if _json(reply.payload) != event:
        raise NonConformance(f"an event of {len(orjson.dumps(event))} bytes came back changed: {reply.payload[:80]!r}")


async def _exits(session: _Session) -> None:
    try:
        status = await asyncio.wait_for(session.process.wait(), session.patience)
    except TimeoutError:
        raise NonConformance(f"the process was still there after {session.patience:g} s; it should exit") from None
    if status == 0:
        raise NonConformance("the process exited with 0; it should exit with another status")


def _refuse(request: Request, responder: Responder) -> None:
    body = b'{"errorMessage":"scripted failure","errorType":"Runtime.Scripted"}'
    responder.send(Response(500, [("Content-Type", "application/json")], body))


def _expect(reply: Reply, kind: str) -> None:
    if reply.kind != kind:
        raise NonConformance(f"expected {kind}, got {reply.kind} {reply.payload[:120]!r}")


def _json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise NonConformance(f"not JSON: {payload[:80]!r}") from None
