"""Streamed answers of function URLs, without sockets or functions."""

from __future__ import annotations

from typing import cast

import pytest

from lambdad.frontend.streamed_body import StreamedBody
from lambdad.frontend.url_stream import UrlStream
from lambdad.model.invocation import InvocationResult
from lambdad.wire.http import Response
from lambdad.wire.http_integration import CONTENT_TYPE

DONE = InvocationResult(payload=b"")
FAILED = InvocationResult(payload=b"{}", error="Unhandled", error_type="X")


class World:
    gone = False

    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.log: list[bytes | str] = []
        self.credits: list[int] = []
        self.stream = UrlStream("id-1", self, self.finish)

    def finish(self, response: Response) -> Response:
        response.headers.append(("x-finished", "yes"))
        return response

    def send(self, response: Response) -> None:
        self.responses.append(response)
        if response.stream is not None:
            cast(StreamedBody, response.stream).open(self)

    def write(self, data: bytes) -> bool:
        self.log.append(data)
        return True

    def end(self) -> None:
        self.log.append("end")

    def abort(self) -> None:
        self.log.append("abort")

    @property
    def response(self) -> Response:
        [response] = self.responses
        assert dict(response.headers)["x-finished"] == "yes"
        return response

    @property
    def body(self) -> bytes:
        return b"".join(item for item in self.log if isinstance(item, bytes))


def test_without_a_prelude_the_content_type_is_the_runtimes_and_all_bytes_are_body() -> None:
    world = World()
    world.stream.opened("text/event-stream", world.credits.append)
    assert (world.response.status, dict(world.response.headers)["content-type"]) == (200, "text/event-stream")
    assert world.stream.is_open
    world.stream.piece(b"data")
    world.stream.complete(DONE)
    assert (world.body, world.log[-1]) == (b"data", "end")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_prelude_in_any_pieces_makes_the_head(size: int) -> None:
    world = World()
    world.stream.opened(f"{CONTENT_TYPE}; charset=x", world.credits.append)
    assert world.responses == []
    whole = b'{"statusCode":418,"cookies":["a=b"]}' + bytes(8) + b"tea"
    for start in range(0, len(whole), size):
        world.stream.piece(whole[start : start + size])
    world.stream.complete(DONE)
    assert (world.response.status, dict(world.response.headers)["set-cookie"]) == (418, "a=b")
    assert (world.body, world.log[-1]) == (b"tea", "end")


@pytest.mark.parametrize("prelude", [b"not json" + bytes(8), b'{"statusCode":99}' + bytes(8), b"x" * 100_000])
def test_a_bad_prelude_is_a_bad_gateway_and_the_function_may_go_on(prelude: bytes) -> None:
    world = World()
    world.stream.opened(CONTENT_TYPE, world.credits.append)
    world.stream.piece(prelude)
    world.stream.piece(bytes(1024 * 1024))
    world.stream.complete(DONE)
    assert (world.response.status, world.log) == (502, [])
    assert sum(world.credits) == len(prelude) + 1024 * 1024


def test_a_response_that_ends_within_its_prelude_is_a_bad_gateway() -> None:
    world = World()
    world.stream.opened(CONTENT_TYPE, world.credits.append)
    world.stream.piece(b"{")
    assert not world.stream.is_open
    world.stream.complete(DONE)
    assert world.response.status == 502


def test_an_error_in_the_middle_cuts_the_connection() -> None:
    for broken in (lambda world: world.stream.complete(FAILED), lambda world: world.stream.break_off()):
        world = World()
        world.stream.opened("text/plain", world.credits.append)
        world.stream.piece(b"a")
        broken(world)
        assert world.log == [b"a", "abort"]


def test_an_answer_at_once_is_sent_as_it_is_and_an_error_is_a_bad_gateway() -> None:
    world = World()
    world.stream.complete(InvocationResult(payload=b'{"statusCode":404}'))
    assert (world.response.status, world.response.body) == (200, b'{"statusCode":404}')
    world = World()
    world.stream.complete(FAILED)
    assert (world.response.status, world.response.body) == (502, b"Internal Server Error")


def test_a_content_type_that_http_cannot_carry_is_bytes() -> None:
    world = World()
    world.stream.opened("a\x00b", world.credits.append)
    assert dict(world.response.headers)["content-type"] == "application/octet-stream"
