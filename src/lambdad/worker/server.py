"""The worker's end of the unix socket: frames to questions, answers and news to frames."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import assert_never, cast

from lambdad.model.environment import Code, SnapshotFailure
from lambdad.model.invocation import InvocationResult
from lambdad.telemetry.log import Logger
from lambdad.worker import frames
from lambdad.worker.frames import Frame, FrameError, FrameReader, Kind
from lambdad.worker.interface import WorkerInfo
from lambdad.worker.service import WorkerService


class WorkerConnection(asyncio.Protocol):
    """One caller. Only the users in `uids` may be callers."""

    def __init__(self, service: WorkerService, info: WorkerInfo, uids: frozenset[int], log: Logger) -> None:
        self._service = service
        self._info = info
        self._uids = uids
        self._log = log
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        uid = _peer_uid(transport.get_extra_info("socket"))
        if uid not in self._uids:
            self._log.error("worker.caller_refused", uid=uid)
            transport.abort()
            return
        transport.set_write_buffer_limits(high=64 * 1024 * 1024)
        self._transport = transport
        self._service.attach(self)
        hello = {"runtimes": self._info.runtimes, "weaknesses": self._info.weaknesses, "pid": os.getpid()}
        transport.write(frames.encode(Kind.HELLO, 0, hello))

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except (FrameError, KeyError, TypeError, ValueError) as error:
            self._log.error("worker.bad_frame", error=repr(error))
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._service.detach(self)

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.INVOKE:
                environment_id, invocation = frames.decode_invocation(frame)
                self._service.invoke(frame.call, environment_id, invocation)
            case Kind.START:
                spec = frames.decode_spec(frame.header["spec"])
                self._service.start(frame.call, frame.header["id"], spec)
            case Kind.STOP:
                self._service.stop(frame.header)
            case Kind.PREPARE:
                code = tuple(Code(**item) for item in frame.header["code"])
                self._service.prepare(frame.call, frame.header["runtime"], code)
            case Kind.SNAPSHOT:
                self._service.make_snapshot(frame.call, frames.decode_spec(frame.header["spec"]))
            case Kind.FORGET:
                self._service.forget_spec(frame.header)
            case Kind.CREDIT:
                environment_id, size = frame.header
                self._service.credit(frame.call, environment_id, size)
            case (
                Kind.STARTED
                | Kind.RESULT
                | Kind.PREPARED
                | Kind.FAILED
                | Kind.OPENED
                | Kind.CHUNK
                | Kind.HELLO
                | Kind.GONE
                | Kind.FREE
            ):
                raise FrameError(f"a caller that answers: {frame.kind}")
            case _:
                assert_never(frame.kind)

    # -- Caller

    def started(self, call: int, timings: dict[str, float]) -> None:
        self._send(frames.encode(Kind.STARTED, call, timings))

    def failed(self, call: int, code: str, message: str) -> None:
        self._send(frames.encode(Kind.FAILED, call, {"code": code, "message": message}))

    def result(self, call: int, result: InvocationResult) -> None:
        self._send(frames.encode_result(call, result))

    def stream_opened(self, call: int, content_type: str) -> None:
        self._send(frames.encode(Kind.OPENED, call, content_type))

    def stream_piece(self, call: int, piece: bytes) -> None:
        self._send(frames.encode_chunk(call, piece))

    def prepared(self, call: int, problem: str | SnapshotFailure | None) -> None:
        self._send(frames.encode(Kind.PREPARED, call, problem))

    def free(self, environment_id: str, extensions_ms: float) -> None:
        self._send(frames.encode(Kind.FREE, 0, (environment_id, extensions_ms)))

    def gone(self, environment_id: str) -> None:
        self._send(frames.encode(Kind.GONE, 0, environment_id))

    def _send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)


def _peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a unix socket, as the kernel knows it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)
