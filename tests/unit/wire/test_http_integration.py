"""The head of a streamed response is found wherever the bytes are cut."""

from __future__ import annotations

import pytest

from lambdad.wire.http_integration import PRELUDE_MAX, Head, Prelude, PreludeError

STREAM = b'{"statusCode":201,"headers":{"Content-Type":"text/html"},"cookies":["a=b"]}' + bytes(8) + b"body\0more"
HEAD = [("content-type", "text/html"), ("set-cookie", "a=b"), ("x-amzn-RequestId", "r")]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 1000])
def test_the_head_does_not_depend_on_how_the_bytes_are_cut(size: int) -> None:
    prelude = Prelude("r")
    for start in range(0, len(STREAM), size):
        head = prelude.feed(STREAM[start : start + size])
        if head is not None:
            rest = STREAM[start + size :]
            assert Head(head.status, head.headers, head.body + rest) == Head(201, HEAD, b"body\0more")
            return
    pytest.fail("no head was found")


def test_an_empty_prelude_is_a_plain_success() -> None:
    head = Prelude("r").feed(bytes(8) + b"x")
    assert head == Head(200, [("content-type", "application/octet-stream"), ("x-amzn-RequestId", "r")], b"x")


@pytest.mark.parametrize(
    "text",
    [
        b"{oops",
        b"[]",
        b'{"statusCode": 42}',
        b'{"statusCode": 200, "headers": {"a": "\\r\\n"}}',
        b'{"statusCode": 200, "cookies": [3]}',
        b'"' + b"x" * PRELUDE_MAX + b'"',
    ],
)
def test_what_is_no_prelude_is_refused(text: bytes) -> None:
    with pytest.raises(PreludeError):
        Prelude("r").feed(text + bytes(8))


def test_a_prelude_that_never_ends_is_refused() -> None:
    prelude = Prelude("r")
    with pytest.raises(PreludeError, match="no end"):
        for _ in range(PRELUDE_MAX // 1024 + 2):
            assert prelude.feed(b" " * 1024) is None
