"""The client side of the Runtime API in Python, against servers that answer well, badly and not at all."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtimes.canned_api import DEADLINE_S, CannedApi, Event, Serve, serving

from lambdad.runtimes.python import runtime_client

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def _with_server(serve: Serve, use: Callable[[], object]) -> object:
    """Run `use` in a thread, with the client pointed at a server."""

    async def main() -> object:
        async with asyncio.timeout(DEADLINE_S), serving(serve) as address:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("AWS_LAMBDA_RUNTIME_API", address)
                runtime_client.initialize_client("test/1")
                try:
                    return await asyncio.to_thread(use)
                finally:
                    runtime_client.initialize_client("test/1")

    return asyncio.run(main())


def _answering(answers: Sequence[bytes]) -> Serve:
    """A server that sends one prepared answer for each connection, then closes it."""
    left = iter(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(left, b""))
        await writer.drain()

    return serve


def test_next_returns_the_event_and_the_headers_as_the_c_client_does() -> None:
    api = CannedApi([Event(b'{"k": 1}', {"Lambda-Runtime-Aws-Tenant-Id": "t"})])
    assert _with_server(api.serve, runtime_client.next) == (
        b'{"k": 1}',
        {
            "Lambda-Runtime-Aws-Request-Id": "id1",
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "Lambda-Runtime-Deadline-Ms": 4102444800000,
            "Lambda-Runtime-Client-Context": None,
            "Lambda-Runtime-Cognito-Identity": None,
            "Lambda-Runtime-Aws-Tenant-Id": "t",
            "Lambda-Runtime-Invocation-Id": None,
            "Content-Type": "application/json",
        },
    )


def test_posts_and_polls_share_one_connection() -> None:
    api = CannedApi([Event(b"1"), Event(b"2")])

    def use() -> None:
        runtime_client.next()
        runtime_client.post_invocation_result("id1", b"x" * 100_000, "application/unknown", "inv")
        runtime_client.next()
        runtime_client.post_error("id2", '{"errorMessage": "é"}', '{"cause": "a\nb"}')

    _with_server(api.serve, use)
    result, error = api.posts
    assert api.connections == 1
    assert (result.path, len(result.body)) == ("/2018-06-01/runtime/invocation/id1/response", 100_000)
    assert result.headers["content-type"] == "application/unknown"
    assert result.headers["lambda-runtime-invocation-id"] == "inv"
    assert result.headers["user-agent"] == "test/1"
    assert (error.kind, error.body) == ("error", '{"errorMessage": "é"}'.encode())
    assert error.headers["lambda-runtime-function-xray-error-cause"] == '{"cause": "a b"}'


def test_a_result_that_is_refused_is_an_error_but_one_too_large_is_not() -> None:
    for status, is_error in (("400 Bad Request", True), ("413 Payload Too Large", False)):
        api = CannedApi([], status)
        use = lambda: runtime_client.post_invocation_result("id1", b"x")  # noqa: E731
        if is_error:
            with pytest.raises(RuntimeError, match="HTTP status 400"):
                _with_server(api.serve, use)
        else:
            _with_server(api.serve, use)


def test_an_answer_after_100_continue_or_with_connection_close_is_understood() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answers = [b"HTTP/1.1 100 Continue\r\n\r\n" + OK, closing]

    def use() -> list[bytes]:
        return [runtime_client.next()[0] for _ in answers]

    assert _with_server(_answering(answers), use) == [b"{}", b"{}"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the connection was closed"),
        (OK[:-1], "in the middle of an answer"),
        (OK[:20], "in the middle of an answer"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "without Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "an answer of 99999999999 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "an answer of -1 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "invalid literal"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", "bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "in the middle of an answer"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", "HTTP status 500"),
        (b"x" * (2 * 1024 * 1024 + 65 * 1024), "a header of more than"),
    ],
)
def test_a_bad_answer_is_an_error_that_says_what_was_wrong(answer: bytes, reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        _with_server(_answering([answer]), runtime_client.next)


def test_a_request_whose_answer_had_begun_is_never_sent_again() -> None:
    served = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A good answer, then on the same connection the beginning of one."""
        for answer in (OK, OK[:30]):
            await reader.readuntil(b"\r\n\r\n")
            next(served)
            writer.write(answer)

    def use() -> None:
        runtime_client.next()
        runtime_client.next()

    with pytest.raises(RuntimeError, match="in the middle of an answer"):
        _with_server(serve, use)
    assert next(served) == 2


def test_it_says_so_when_it_was_not_initialised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_client, "_connection", None)
    with pytest.raises(RuntimeError, match="initialize_client was not called"):
        runtime_client.next()


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=300))
def test_whatever_a_server_sends_is_an_answer_or_an_error(data: bytes) -> None:
    try:
        _with_server(_answering([data]), runtime_client.next)
    except (RuntimeError, ValueError) as error:
        assert str(error)


def test_a_response_in_pieces_is_sent_in_chunks_on_the_same_connection() -> None:
    api = CannedApi([Event(b"1"), Event(b"2")])

    def use() -> None:
        runtime_client.next()
        pieces = iter((b"a", b"", b"b" * 100_000))
        runtime_client.post_invocation_stream("id1", pieces, "text/x", "inv")
        runtime_client.next()

    _with_server(api.serve, use)
    [post] = api.posts
    assert api.connections == 1
    assert (post.kind, post.body) == ("response", b"a" + b"b" * 100_000)
    assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert post.headers["content-type"] == "text/x"
    assert post.headers["lambda-runtime-invocation-id"] == "inv"
    assert "lambda-runtime-function-error-type" not in post.headers


def test_a_response_that_fails_midway_ends_with_its_error_in_trailers() -> None:
    api = CannedApi([Event(b"1")])

    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise runtime_client.StreamFailed("Odd\r\nX: y", "e30=")

    def use() -> None:
        runtime_client.next()
        runtime_client.post_invocation_stream("id1", pieces(), "text/x")

    _with_server(api.serve, use)
    [post] = api.posts
    assert post.body == b"a"
    assert post.headers["lambda-runtime-function-error-type"] == "Odd  X: y"
    assert post.headers["lambda-runtime-function-error-body"] == "e30="


def test_a_stream_is_broken_off_by_any_other_exception_and_never_sent_twice() -> None:
    api = CannedApi([Event(b"1")])

    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise SystemExit(3)

    def use() -> None:
        runtime_client.next()
        with pytest.raises(SystemExit):
            runtime_client.post_invocation_stream("id1", pieces(), "text/x")

    _with_server(api.serve, use)
    assert api.posts == []


def test_a_refused_stream_is_an_error() -> None:
    api = CannedApi([Event(b"1")], "400 Bad Request")

    def use() -> None:
        with pytest.raises(RuntimeError, match="HTTP status 400"):
            runtime_client.post_invocation_stream("id1", iter((b"a",)), "text/x")

    _with_server(api.serve, use)
