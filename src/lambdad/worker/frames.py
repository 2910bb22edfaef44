"""Messages between a worker and its callers, as length-prefixed frames. Pure: bytes to values and back.

    0       4      5        9             13
    +-------+------+--------+-------------+----------------+-----------------+
    | rest  | kind | call   | header size | header (JSON)  | payload (bytes) |
    +-------+------+--------+-------------+----------------+-----------------+

Integers are unsigned, big-endian; `rest` counts the bytes after itself. `call` joins an answer to its question; it is
0 in messages that nobody answers. Payloads are never copied into JSON. A frame that breaks a rule raises `FrameError`
and the connection must be closed: there is no way back into step.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson

from lambdad.model.arn import Namespace
from lambdad.model.environment import Code, EnvironmentSpec, Image
from lambdad.model.invocation import Invocation, InvocationResult

FRAME_MAX = 16 * 1024 * 1024
"""More than any invocation with its headers; a longer frame is garbage."""

_HEAD = struct.Struct(">IBII")
_HEAD_REST = _HEAD.size - 4


class Kind(IntEnum):
    # questions
    START = 1
    INVOKE = 2
    STOP = 3
    PREPARE = 4
    CREDIT = 5
    SNAPSHOT = 6
    FORGET = 7
    # answers
    STARTED = 16
    RESULT = 17
    PREPARED = 18
    FAILED = 19
    OPENED = 20
    CHUNK = 21
    # news
    HELLO = 32
    GONE = 33
    FREE = 34


_KINDS = {kind.value: kind for kind in Kind}


class FrameError(Exception):
    """The bytes are not a frame of this protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    call: int
    header: Any
    payload: bytes = b""


def encode(kind: Kind, call: int, header: object, payload: bytes = b"") -> bytes:
    text = orjson.dumps(header)
    return b"".join((_HEAD.pack(_HEAD_REST + len(text) + len(payload), kind, call, len(text)), text, payload))


class FrameReader:
    """Cuts a stream of bytes into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes."""
        buffer = self._buffer + data if self._buffer else data
        position = 0
        available = len(buffer)
        try:
            while available - position >= _HEAD.size:
                rest, kind, call, header_size = _HEAD.unpack_from(buffer, position)
                if rest > FRAME_MAX or header_size > rest - _HEAD_REST:
                    raise FrameError(f"a frame of {rest} bytes with a header of {header_size}")
                end = position + 4 + rest
                if end > available:
                    break
                start = position + _HEAD.size
                position = end
                yield self._decode(kind, call, buffer[start : start + header_size], buffer[start + header_size : end])
        finally:
            self._buffer = buffer[position:]

    @staticmethod
    def _decode(kind: int, call: int, header: bytes, payload: bytes) -> Frame:
        known = _KINDS.get(kind)
        if known is None:
            raise FrameError(f"unknown kind {kind}")
        try:
            return Frame(known, call, orjson.loads(header), payload)
        except orjson.JSONDecodeError as error:
            raise FrameError(f"a header that is not JSON: {error}") from error


# -- the values inside


def encode_invocation(call: int, sandbox_id: str, invocation: Invocation) -> bytes:
    header = (
        sandbox_id,
        invocation.request_id,
        invocation.invoked_arn,
        invocation.client_context,
        invocation.trace_id,
        invocation.tail,
        invocation.streaming,
    )
    return encode(Kind.INVOKE, call, header, invocation.payload)


def decode_invocation(frame: Frame) -> tuple[str, Invocation]:
    sandbox_id, request_id, invoked_arn, client_context, trace_id, tail, streaming = frame.header
    return sandbox_id, Invocation(
        request_id=request_id,
        payload=frame.payload,
        invoked_arn=invoked_arn,
        client_context=client_context,
        trace_id=trace_id,
        tail=tail,
        streaming=streaming,
    )


def encode_chunk(call: int, piece: bytes) -> bytes:
    """A piece of a streamed response; OPENED came before, RESULT comes after."""
    return b"".join((_HEAD.pack(_HEAD_REST + 2 + len(piece), Kind.CHUNK, call, 2), b"[]", piece))


def encode_credit(call: int, sandbox_id: str, size: int) -> bytes:
    """So many bytes of the stream of this call have gone on to whoever wanted them."""
    return encode(Kind.CREDIT, call, (sandbox_id, size))


def encode_result(call: int, result: InvocationResult) -> bytes:
    tail = result.log_tail
    header = (result.error, result.error_type, result.memory_used_mb, result.timings, len(tail), result.lingers)
    return encode(Kind.RESULT, call, header, tail + result.payload if tail else result.payload)


def decode_result(frame: Frame) -> InvocationResult:
    error, error_type, memory_used_mb, timings, tail_size, lingers = frame.header
    payload = frame.payload
    return InvocationResult(
        payload=payload[tail_size:] if tail_size else payload,
        error=error,
        error_type=error_type,
        log_tail=payload[:tail_size],
        timings=timings,
        memory_used_mb=memory_used_mb,
        lingers=lingers,
    )


def decode_spec(header: Mapping[str, Any]) -> EnvironmentSpec:
    """The `EnvironmentSpec` that orjson wrote as an object."""
    values = dict(header)
    values["namespace"] = Namespace(**values["namespace"])
    values["code"] = None if values["code"] is None else Code(**values["code"])
    values["layers"] = tuple(Code(**layer) for layer in values["layers"])
    image = values["image"]
    if image is not None:
        image = dict(image)
        image["entry_point"] = tuple(image["entry_point"])
        image["command"] = tuple(image["command"])
        values["image"] = Image(**image)
    return EnvironmentSpec(**values)
