"""`application/vnd.amazon.eventstream`: the messages of InvokeWithResponseStream, encoded.

Layout, big-endian: total length u32, headers length u32, CRC-32 of these eight bytes, headers, payload, CRC-32 of all
before it. A header: name length u8, name, type 7 (string), value length u16, value. Source: the framing of AWS's event
streams as botocore decodes it. Encodes only: lambdad reads no such stream.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from zlib import crc32

import orjson

CHUNK_MAX = 1024 * 1024
"""Bytes of payload in one PayloadChunk. Clients refuse messages above 16 MiB; ours are small, to be passed on early."""
_MESSAGE_MAX = 16 * 1024 * 1024
_STRING = 7
_PAYLOAD_CHUNK = (
    (":message-type", "event"),
    (":event-type", "PayloadChunk"),
    (":content-type", "application/octet-stream"),
)
_INVOKE_COMPLETE = (
    (":message-type", "event"),
    (":event-type", "InvokeComplete"),
    (":content-type", "application/json"),
)


def encode_message(headers: Sequence[tuple[str, str]], payload: bytes) -> bytes:
    """One message. Raises ValueError for a header or payload that the framing cannot carry."""
    return _frame(_encode_headers(headers), payload)


def encode_payload_chunks(data: bytes) -> Iterator[bytes]:
    """Bytes of a response as PayloadChunk messages of at most CHUNK_MAX bytes of payload; none for no bytes."""
    for start in range(0, len(data), CHUNK_MAX):
        yield _frame(_PAYLOAD_CHUNK_HEADERS, data[start : start + CHUNK_MAX])


def encode_invoke_complete(
    error_code: str | None = None, error_details: str | None = None, log_tail: bytes | None = None
) -> bytes:
    """The last message of a stream.

    error_code: kind of the function's error. error_details: its error object as JSON text. log_tail: not yet base64.
    """
    document = {}
    if error_code is not None:
        document["ErrorCode"] = error_code
    if error_details is not None:
        document["ErrorDetails"] = error_details
    if log_tail is not None:
        document["LogResult"] = base64.b64encode(log_tail).decode()
    return _frame(_INVOKE_COMPLETE_HEADERS, orjson.dumps(document))


def encode_exception(code: str, message: str) -> bytes:
    """An error of the service after the response has begun; `code` is AWS's exception name.

    It is said twice: for clients whose model has this exception in this stream, and for all others, boto3 among them,
    which look for the headers of an error without a model. message: cut to what a header may hold.
    """
    shown = message.encode()[:1024].decode(errors="ignore")
    headers = (
        (":message-type", "exception"),
        (":exception-type", code),
        (":error-code", code),
        (":error-message", shown),
        (":content-type", "application/json"),
    )
    return encode_message(headers, orjson.dumps({"message": message}))


def _encode_headers(headers: Sequence[tuple[str, str]]) -> bytes:
    encoded = bytearray()
    for name, value in headers:
        name_bytes, value_bytes = name.encode(), value.encode()
        if not 0 < len(name_bytes) < 256:
            raise ValueError(f"header name of {len(name_bytes)} bytes: must be 1 to 255")
        if len(value_bytes) >= 32_768:
            raise ValueError(f"value of header {name} has {len(value_bytes)} bytes: must be below 32,768")
        encoded += bytes((len(name_bytes),)) + name_bytes
        encoded += struct.pack(">BH", _STRING, len(value_bytes)) + value_bytes
    return bytes(encoded)


def _frame(headers: bytes, payload: bytes) -> bytes:
    total = 16 + len(headers) + len(payload)
    if total > _MESSAGE_MAX:
        raise ValueError(f"event stream message of {total} bytes: the limit is {_MESSAGE_MAX}; send it in chunks")
    prelude = struct.pack(">II", total, len(headers))
    checked = b"".join((prelude, struct.pack(">I", crc32(prelude)), headers, payload))
    return checked + struct.pack(">I", crc32(checked))


_PAYLOAD_CHUNK_HEADERS = _encode_headers(_PAYLOAD_CHUNK)
_INVOKE_COMPLETE_HEADERS = _encode_headers(_INVOKE_COMPLETE)
