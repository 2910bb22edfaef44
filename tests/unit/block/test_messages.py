"""Messages survive the socket, and what is not a message is refused."""

from __future__ import annotations

import pytest

from lambdad.block.messages import (
    MESSAGE_MAX,
    Configure,
    Drop,
    Lost,
    Message,
    MessageInvalid,
    Refused,
    Serve,
    Serving,
    Started,
    encode_message,
    parse_message,
)

SERVE = Serve(id="a", path="/p", manifest_path="/m", digest="d", key="00" * 32, is_resumed=True)


@pytest.mark.parametrize(
    "message",
    [
        Configure(origin_directory="/o", nodes=("a:1", "b:2")),
        SERVE,
        Started("a"),
        Drop("a"),
        Serving("a"),
        Refused("a", "why", is_overloaded=True),
        Lost("why"),
    ],
)
def test_messages_come_back(message: Message) -> None:
    assert parse_message(encode_message(message)) == message


def test_keys_are_not_shown() -> None:
    assert "00" * 32 not in repr(SERVE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"message": "other"}',
        b'{"message": "drop"}',
        b'{"message": "drop", "id": 1}',
        b'{"message": "drop", "id": "a", "more": 1}',
        b'{"message": ["drop"]}',
        b"[" * 50_000,
    ],
)
def test_what_is_not_a_message_is_refused(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        parse_message(data)


def test_messages_are_bounded() -> None:
    with pytest.raises(MessageInvalid, match="bytes"):
        encode_message(Lost("x" * MESSAGE_MAX))
