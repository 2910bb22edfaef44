"""InvokeWithResponseStream as the frontend answers it, without sockets, workers or a store."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from botocore.eventstream import EventStreamBuffer

from lambdad.frontend.desk import Desk
from lambdad.frontend.stream import StreamFrontend
from lambdad.frontend.streamed_body import StreamedBody
from lambdad.model.arn import Namespace
from lambdad.model.clock import SystemClock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, function_not_found, throttled
from lambdad.model.invocation import InvocationResult
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.testing.specs import HERE, make_target
from lambdad.wire.http import Request, Response
from lambdad.wire.serialize import serialize_error
from lambdad.worker.interface import StreamSink

Messages = list[tuple[str, Any]]


class World:
    """A frontend with everything around it written down. run: what becomes of the ticket."""

    gone = False

    def __init__(self, run: Callable[[Ticket], None]) -> None:
        self.run = run
        self.responses: list[Response] = []
        self.rejections: list[ApiError] = []
        self.observed: list[Mapping[str, float]] = []
        self.ended: list[str] = []
        self.pieces: list[bytes] = []
        desk = Desk(resolver=self, runner=self, observer=self, write_error=serialize_error, clock=SystemClock())
        self.frontend = StreamFrontend(desk)

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        if name == "nobody":
            raise function_not_found("arn:nobody")
        return make_target()

    def submit(self, ticket: Ticket) -> None:
        self.run(ticket)

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None:
        self.observed.append(timings)

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None:
        self.rejections.append(error)

    def send(self, response: Response) -> None:
        self.responses.append(response)
        if response.stream is None:
            self.pieces.append(response.body)
        else:
            cast(StreamedBody, response.stream).open(self)

    def write(self, data: bytes) -> bool:
        self.pieces.append(data)
        return True

    def end(self) -> None:
        self.ended.append("end")

    def abort(self) -> None:
        self.ended.append("abort")

    def ask(self, body: bytes = b"{}", label: str = "f", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.frontend.invoke(Request("POST", "/", "", named, body), HERE, label, "id-1", self)
        [response] = self.responses
        return response

    def messages(self) -> Messages:
        buffer = EventStreamBuffer()
        buffer.add_data(b"".join(self.pieces))
        found: Messages = []
        for message in buffer:
            headers = message.headers
            kind = headers.get(":event-type") or headers[":exception-type"]
            found.append((kind, message.payload if kind == "PayloadChunk" else json.loads(message.payload)))
        return found


def settle(outcome: InvocationResult | ApiError, *pieces: bytes) -> Callable[[Ticket], None]:
    def run(ticket: Ticket) -> None:
        sink = cast(StreamSink, ticket.sink)
        assert ticket.invocation.streaming
        if pieces:
            sink.opened("text/plain", lambda size: None)
        for piece in pieces:
            sink.piece(piece)
        ticket.settle(outcome)

    return run


def ok(payload: bytes = b"", **more: Any) -> InvocationResult:
    return InvocationResult(payload=payload, timings={"duration": 1.0}, **more)


def test_pieces_become_chunks_and_the_end_is_a_message() -> None:
    world = World(settle(ok(), b"a", b"b"))
    response = world.ask()
    headers = {name.lower(): value for name, value in response.headers}
    assert (response.status, headers["content-type"]) == (200, "application/vnd.amazon.eventstream")
    assert headers["x-amz-executed-version"] == "$LATEST"
    assert headers["x-amzn-requestid"] == "id-1"
    assert world.messages() == [("PayloadChunk", b"a"), ("PayloadChunk", b"b"), ("InvokeComplete", {})]
    assert world.ended == ["end"]
    assert set(world.observed[0]) == {"duration", "total"}


def test_an_answer_at_once_is_one_chunk() -> None:
    world = World(settle(ok(b'"x"', log_tail=b"lines")))
    world.ask(x_amz_log_type="Tail")
    tail = base64.b64encode(b"lines").decode()
    assert world.messages() == [("PayloadChunk", b'"x"'), ("InvokeComplete", {"LogResult": tail})]


@pytest.mark.parametrize(
    ("payload", "code"), [(b'{"errorType":"ValueError"}', "ValueError"), (b"[]", "Function.X"), (b"\xff", "Function.X")]
)
def test_an_error_of_the_function_is_in_the_last_message(payload: bytes, code: str) -> None:
    for pieces in ((), (b"a",)):
        world = World(settle(ok(payload, error="Unhandled", error_type="Function.X"), *pieces))
        world.ask()
        kind, members = world.messages()[-1]
        assert kind == "InvokeComplete"
        assert members == {"ErrorCode": code, "ErrorDetails": payload.decode("utf-8", "replace")}


def test_a_failure_of_the_platform_in_the_middle_is_an_exception_in_the_stream() -> None:
    error = ApiError("ServiceException", 500, "lost")
    world = World(settle(error, b"a"))
    world.ask()
    assert world.messages() == [("PayloadChunk", b"a"), ("ServiceException", {"message": "lost"})]
    assert world.rejections == [error]


def test_a_failure_before_the_first_byte_has_its_status() -> None:
    world = World(settle(throttled("ConcurrentInvocationLimitExceeded")))
    assert world.ask().status == 429
    assert World(settle(ok())).ask(label="nobody").status == 404


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{broken", "RequestResponse", 400), (b"{}", "Event", 400), (b"{}", "DryRun", 204)],
)
def test_what_runs_nothing_is_answered_at_once(body: bytes, kind: str, status: int) -> None:
    world = World(settle(ok()))
    assert world.ask(body, x_amz_invocation_type=kind).status == status
    assert world.observed == []
