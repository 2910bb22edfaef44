"""The Redis protocol: replies in any pieces, and servers that lie."""

from __future__ import annotations

import pytest

from lambdad.chunks.resp import LINE_MAX, REPLY_MAX, Reply, ReplyError, ReplyParser, RespError, encode_command

STREAM = b"+OK\r\n$5\r\nhe\r\no\r\n$-1\r\n:42\r\n:-7\r\n$0\r\n\r\n-ERR no\r\n"
REPLIES: list[Reply] = [b"OK", b"he\r\no", None, 42, -7, b""]


def test_commands_are_arrays_of_bulk_strings() -> None:
    assert b"".join(encode_command(b"SET", b"k", b"a\r\nb")) == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_replies_come_out_whatever_the_pieces(piece: int) -> None:
    parser = ReplyParser()
    replies: list[Reply] = []
    for start in range(0, len(STREAM), piece):
        replies += parser.feed(STREAM[start : start + piece])
    assert replies[:-1] == REPLIES
    assert isinstance(replies[-1], ReplyError)
    assert str(replies[-1]) == "ERR no"


@pytest.mark.parametrize(
    "data",
    [
        b"*1\r\n",
        b"hello\r\n",
        b"\r\n",
        b":x\r\n",
        b":" + b"9" * 30 + b"\r\n",
        b"$-2\r\n",
        b"$%d\r\n" % (REPLY_MAX + 1),
        b"$1\r\nabc",
        b"+" + b"x" * LINE_MAX,
    ],
)
def test_what_is_not_the_protocol_is_an_error(data: bytes) -> None:
    with pytest.raises(RespError):
        ReplyParser().feed(data)
