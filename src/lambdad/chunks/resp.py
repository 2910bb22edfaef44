"""The part of the Redis protocol (RESP 2) that a cache needs: commands out, replies in. Sans-IO.

Simple strings, errors, integers and bulk strings; no arrays, because no command used here answers with one. What a
server may send is bounded: it is a machine in the network, not a friend.
"""

from __future__ import annotations

REPLY_MAX = 17 * 1024 * 1024
"""Bytes of a bulk string: a fragment is at most 4 MiB."""
LINE_MAX = 4096


class RespError(Exception):
    """The server broke the protocol: the connection is of no more use."""


class ReplyError(Exception):
    """The server answered a command with an error."""


Reply = bytes | int | None | ReplyError


def encode_command(*parts: bytes) -> list[bytes]:
    """Buffers to write, in order; big parts are not copied."""
    buffers = [b"*%d\r\n" % len(parts)]
    for part in parts:
        buffers += [b"$%d\r\n" % len(part), part, b"\r\n"]
    return buffers


class ReplyParser:
    """Feed bytes, take replies."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._expected: int | None = None
        """Length of the bulk string whose header has been read."""

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete now. Raises `RespError`."""
        self._buffer += data
        replies: list[Reply] = []
        while True:
            if self._expected is None:
                complete, reply = self._line()
            else:
                complete, reply = self._bulk(self._expected)
            if complete:
                replies.append(reply)
            elif self._expected is None or len(self._buffer) < self._expected + 2:
                return replies

    def _line(self) -> tuple[bool, Reply]:
        end = self._buffer.find(b"\r\n", 0, LINE_MAX)
        if end < 0:
            if len(self._buffer) >= LINE_MAX:
                raise RespError("a line of the reply does not end")
            return False, None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return True, rest
        if kind == b"-":
            return True, ReplyError(rest.decode("utf-8", "replace"))
        number = _integer(rest)
        if kind == b":":
            return True, number
        if kind != b"$":
            raise RespError(f"a reply cannot begin with {kind!r}")
        if number == -1:
            return True, None
        if not 0 <= number <= REPLY_MAX:
            raise RespError(f"a value of {number} bytes is too large")
        self._expected = number
        return False, None

    def _bulk(self, size: int) -> tuple[bool, Reply]:
        if len(self._buffer) < size + 2:
            return False, None
        if self._buffer[size : size + 2] != b"\r\n":
            raise RespError("a value does not end where it should")
        value = bytes(memoryview(self._buffer)[:size])
        del self._buffer[: size + 2]
        self._expected = None
        return True, value


def _integer(text: bytes) -> int:
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 20:
        raise RespError(f"not a number: {text[:30]!r}")
    return int(text)
