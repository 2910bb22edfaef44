"""A worker seen from another process: `WorkerPort` over a unix socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import assert_never, cast

from lambdad.model.environment import Code, EnvironmentSpec, SnapshotFailure
from lambdad.model.invocation import Invocation
from lambdad.worker import frames
from lambdad.worker.frames import Frame, FrameError, FrameReader, Kind
from lambdad.worker.interface import (
    Answer,
    SandboxGone,
    Started,
    StartFailed,
    StreamSink,
    WorkerInfo,
    WorkerUnavailable,
)


class WorkerClient(asyncio.Protocol):
    """One connection to a worker, made anew by `connect` after it was lost."""

    def __init__(self) -> None:
        self.on_gone: Callable[[str], None] = _ignore_gone
        self.on_free: Callable[[str, float], None] = _ignore_free
        self.on_lost: Callable[[], None] = _ignore_lost
        self.on_connected: Callable[[WorkerInfo], None] = _ignore_connected
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._calls = itertools.count(1)
        self._invokes: dict[int, Answer] = {}
        self._sinks: dict[int, tuple[str, StreamSink]] = {}
        """Of calls that take a streamed response: the sandbox, and where pieces go."""
        self._questions: dict[int, asyncio.Future[Frame]] = {}

    async def connect(self, path: str) -> None:
        """Connect to the worker that listens at `path`. OSError if there is none."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, path)

    @property
    def is_connected(self) -> bool:
        return self._transport is not None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- WorkerPort

    async def start(self, sandbox_id: str, spec: EnvironmentSpec) -> Started:
        frame = await self._ask(Kind.START, {"id": sandbox_id, "spec": spec})
        if frame.kind is Kind.FAILED:
            raise StartFailed(frame.header["code"], frame.header["message"])
        return Started(frame.header)

    def invoke(self, sandbox_id: str, invocation: Invocation, done: Answer, sink: StreamSink | None = None) -> None:
        if self._transport is None:
            done(WorkerUnavailable("The worker is not running."))
            return
        call = next(self._calls)
        self._invokes[call] = done
        if sink is not None:
            self._sinks[call] = (sandbox_id, sink)
        self._transport.write(frames.encode_invocation(call, sandbox_id, invocation))

    def stop(self, sandbox_id: str) -> None:
        if self._transport is not None:
            self._transport.write(frames.encode(Kind.STOP, 0, sandbox_id))

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        frame = await self._ask(Kind.PREPARE, {"runtime": runtime, "code": code})
        problem: str | None = frame.header
        return problem

    async def snapshot(self, spec: EnvironmentSpec) -> SnapshotFailure | None:
        """Run the init phase of a version and keep it to start from. Returns None, or why there is no snapshot."""
        frame = await self._ask(Kind.SNAPSHOT, {"spec": spec})
        return None if frame.header is None else SnapshotFailure(**frame.header)

    def forget(self, key: str) -> None:
        """The spec with this key has been replaced or deleted, or nobody calls it: what is kept for it may go."""
        if self._transport is not None:
            self._transport.write(frames.encode(Kind.FORGET, 0, key))

    async def _ask(self, kind: Kind, header: object) -> Frame:
        if self._transport is None:
            raise WorkerUnavailable("The worker is not running.")
        call = next(self._calls)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._questions[call] = answer
        self._transport.write(frames.encode(kind, call, header))
        try:
            return await answer
        finally:
            self._questions.pop(call, None)

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        transport.set_write_buffer_limits(high=64 * 1024 * 1024)
        self._transport = transport
        self._reader = FrameReader()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except FrameError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        invokes, self._invokes = self._invokes, {}
        self._sinks.clear()
        for done in invokes.values():
            done(WorkerUnavailable("The worker went away."))
        for answer in self._questions.values():
            if not answer.done():
                answer.set_exception(WorkerUnavailable("The worker went away."))
        self._questions.clear()
        self.on_lost()

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.RESULT:
                done = self._invokes.pop(frame.call, None)
                if self._sinks:
                    self._sinks.pop(frame.call, None)
                if done is not None:
                    done(frames.decode_result(frame))
            case Kind.CHUNK:
                if frame.call in self._sinks:
                    self._sinks[frame.call][1].piece(frame.payload)
            case Kind.OPENED:
                self._open_stream(frame.call, frame.header)
            case Kind.FAILED if frame.call in self._invokes:
                self._sinks.pop(frame.call, None)
                self._invokes.pop(frame.call)(SandboxGone(frame.header["message"]))
            case Kind.STARTED | Kind.PREPARED | Kind.FAILED:
                answer = self._questions.get(frame.call)
                if answer is not None and not answer.done():
                    answer.set_result(frame)
            case Kind.GONE:
                self.on_gone(frame.header)
            case Kind.FREE:
                self.on_free(*frame.header)
            case Kind.HELLO:
                header = frame.header
                self.on_connected(WorkerInfo(tuple(header["runtimes"]), tuple(header["weaknesses"]), header["pid"]))
            case Kind.START | Kind.INVOKE | Kind.STOP | Kind.PREPARE | Kind.CREDIT | Kind.SNAPSHOT | Kind.FORGET:
                raise FrameError(f"a worker that asks: {frame.kind}")
            case _:
                assert_never(frame.kind)

    def _open_stream(self, call: int, content_type: str) -> None:
        if call not in self._sinks:
            return
        sandbox_id, sink = self._sinks[call]

        def credit(size: int) -> None:
            if self._transport is not None and call in self._sinks:
                self._transport.write(frames.encode_credit(call, sandbox_id, size))

        sink.opened(content_type, credit)


def _ignore_gone(sandbox_id: str) -> None:
    del sandbox_id


def _ignore_free(sandbox_id: str, extensions_ms: float) -> None:
    del sandbox_id, extensions_ms


def _ignore_lost() -> None:
    pass


def _ignore_connected(info: WorkerInfo) -> None:
    del info
