"""botocore reads the messages that we write."""

from __future__ import annotations

import base64

import orjson
import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamMessage

from lambdad.wire.eventstream import (
    CHUNK_MAX,
    encode_exception,
    encode_invoke_complete,
    encode_message,
    encode_payload_chunks,
)


def decode(data: bytes) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


def test_a_response_is_chunks_and_an_end() -> None:
    messages = decode(b"".join(encode_payload_chunks(b"hello")) + encode_invoke_complete())
    assert [message.headers[":event-type"] for message in messages] == ["PayloadChunk", "InvokeComplete"]
    assert messages[0].headers[":content-type"] == "application/octet-stream"
    assert messages[0].payload == b"hello"
    assert orjson.loads(messages[1].payload) == {}


def test_a_large_piece_is_cut() -> None:
    data = bytes(range(256)) * (CHUNK_MAX // 256) + b"tail"
    messages = decode(b"".join(encode_payload_chunks(data)))
    assert [len(message.payload) for message in messages] == [CHUNK_MAX, 4]
    assert b"".join(message.payload for message in messages) == data


def test_no_bytes_are_no_message() -> None:
    assert list(encode_payload_chunks(b"")) == []


def test_the_end_tells_of_an_error_and_the_log() -> None:
    (message,) = decode(encode_invoke_complete("Runtime.ExitError", '{"errorType":"x"}', b"log"))
    assert orjson.loads(message.payload) == {
        "ErrorCode": "Runtime.ExitError",
        "ErrorDetails": '{"errorType":"x"}',
        "LogResult": base64.b64encode(b"log").decode(),
    }


def test_an_exception_names_its_type() -> None:
    (message,) = decode(encode_exception("ServiceException", "oops"))
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] == "ServiceException"
    assert (message.headers[":error-code"], message.headers[":error-message"]) == ("ServiceException", "oops")
    (long,) = decode(encode_exception("ServiceException", "ä" * 100_000))
    assert len(long.headers[":error-message"]) == 512
    assert message.to_response_dict()["status_code"] == 400


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ([("", "x")], b""),
        ([("n" * 256, "x")], b""),
        ([("n", "v" * 32_768)], b""),
        ([], bytes(16 * 1024 * 1024)),
    ],
)
def test_what_the_framing_cannot_carry_is_refused(headers: list[tuple[str, str]], payload: bytes) -> None:
    with pytest.raises(ValueError):
        encode_message(headers, payload)
