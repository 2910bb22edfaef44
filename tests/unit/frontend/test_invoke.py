"""Invoke as the frontend answers it, without sockets, workers or a store."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from lambdad.frontend.desk import Desk
from lambdad.frontend.interface import AcceptDone
from lambdad.frontend.invoke import InvokeFrontend
from lambdad.model.arn import Namespace
from lambdad.model.clock import SystemClock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, function_not_found, throttled
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import PAYLOAD_ASYNC_MAX, PAYLOAD_SYNC_MAX
from lambdad.model.lineage import PASSES_MAX
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.testing.specs import HERE, make_target
from lambdad.wire.http import Request, Response
from lambdad.wire.serialize import serialize_error


class World:
    """A frontend with everything around it written down. result: what the function answers, or why it cannot run."""

    def __init__(self, result: InvocationResult | ApiError | None = None, *, accepts: bool = False) -> None:
        self.result = result or InvocationResult(payload=b'"ok"', timings={"duration": 1.0})
        self.resolved: list[tuple[str, str | None]] = []
        self.tickets: list[Ticket] = []
        self.accepted: list[Invocation] = []
        self.responses: list[Response] = []
        self.rejections: list[ApiError] = []
        self.invocations: list[Mapping[str, float]] = []
        self.gone = False
        desk = Desk(resolver=self, runner=self, observer=self, write_error=serialize_error, clock=SystemClock())
        self.frontend = InvokeFrontend(desk, self if accepts else None)

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        self.resolved.append((name, qualifier))
        if name == "nobody":
            raise function_not_found("arn:nobody")
        return make_target()

    def submit(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)
        if isinstance(self.result, ApiError) and self.result.status == 429:
            raise self.result
        ticket.timings["queue"] = 0.5
        ticket.settle(self.result)

    def accept(self, target: Target, invocation: Invocation, done: AcceptDone) -> None:
        self.accepted.append(invocation)
        done(None)

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None:
        self.invocations.append(timings)

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None:
        self.rejections.append(error)

    def send(self, response: Response) -> None:
        self.responses.append(response)

    def invoke(self, body: bytes = b"{}", label: str = "f", query: str = "", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.frontend.invoke(Request("POST", "/", query, named, body), HERE, label, "id-1", self)
        [response] = self.responses
        return response


def headers_of(response: Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers}


def test_an_answer_has_the_headers_that_aws_documents() -> None:
    response = World().invoke()
    assert (response.status, response.body) == (200, b'"ok"')
    headers = headers_of(response)
    assert headers["x-amzn-requestid"] == "id-1"
    assert headers["x-amz-executed-version"] == "$LATEST"
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert "x-amz-function-error" not in headers
    assert "x-amz-log-result" not in headers
    assert set(json.loads(headers["x-lambdad-timings"])) == {"queue", "duration", "total"}


def test_a_function_error_is_status_200_with_its_header() -> None:
    result = InvocationResult(payload=b"{}", error="Unhandled", error_type="X", timings={"duration": 1.0})
    response = World(result).invoke()
    assert (response.status, headers_of(response)["x-amz-function-error"]) == (200, "Unhandled")


def test_a_log_tail_is_asked_for_and_returned_in_base64() -> None:
    world = World(InvocationResult(payload=b"1", log_tail=b"lines", timings={"duration": 1.0}))
    response = world.invoke(x_amz_log_type="Tail")
    assert world.tickets[0].invocation.tail
    assert base64.b64decode(headers_of(response)["x-amz-log-result"]) == b"lines"


def test_labels_and_qualifiers_are_decoded() -> None:
    world = World()
    world.invoke(label="arn%3Aaws%3Alambda", query="Qualifier=%24LATEST")
    assert world.resolved == [("arn:aws:lambda", "$LATEST")]


def test_an_empty_body_is_an_empty_event() -> None:
    world = World()
    world.invoke(b"")
    assert world.tickets[0].invocation.payload == b"{}"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{broken", {}, 400, "InvalidRequestContentException"),
        (b"\xff\xfe", {}, 400, "InvalidRequestContentException"),
        (b'"' + b"x" * PAYLOAD_SYNC_MAX + b'"', {}, 413, "RequestEntityTooLargeException"),
        (
            b'"' + b"x" * PAYLOAD_ASYNC_MAX + b'"',
            {"x_amz_invocation_type": "Event"},
            413,
            "RequestTooLargeException",
        ),
        (
            b'"' + b"x" * PAYLOAD_SYNC_MAX + b'"',
            {"x_amz_invocation_type": "Event"},
            413,
            "RequestEntityTooLargeException",
        ),
        (b"{}", {"x_amz_invocation_type": "Sometimes"}, 400, "ValidationException"),
        (b"{}", {"x_amz_log_type": "Head"}, 400, "ValidationException"),
        (b"{}", {"x_amz_client_context": "not base64!"}, 400, "InvalidRequestContentException"),
        (b"{}", {"x_amz_client_context": "bm90IGpzb24="}, 400, "InvalidRequestContentException"),
        (b"{}", {"x_amz_client_context": "A" * 4000}, 400, "InvalidParameterValueException"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(
    body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    world = World(accepts=True)
    response = world.invoke(body, **headers)
    assert (response.status, headers_of(response)["x-amzn-errortype"]) == (status, code)
    assert world.tickets == []
    assert world.accepted == []


def test_an_unknown_function_is_refused_and_counted() -> None:
    world = World()
    response = world.invoke(label="nobody")
    assert response.status == 404
    assert [error.code for error in world.rejections] == ["ResourceNotFoundException"]


@pytest.mark.parametrize(
    "error", [throttled("ConcurrentInvocationLimitExceeded"), ApiError("ServiceException", 500, "x")]
)
def test_what_placement_refuses_is_answered_in_its_words(error: ApiError) -> None:
    world = World(error)
    response = world.invoke()
    assert response.status == error.status
    assert world.rejections == [error]


def test_a_dry_run_runs_nothing() -> None:
    world = World()
    assert world.invoke(x_amz_invocation_type="DryRun").status == 204
    assert world.tickets == []


def test_an_event_is_accepted_for_later() -> None:
    world = World(accepts=True)
    response = world.invoke(b'{"a":1}', x_amz_invocation_type="Event")
    assert (response.status, response.body) == (202, b"")
    assert [invocation.payload for invocation in world.accepted] == [b'{"a":1}']


def test_a_trace_header_of_the_caller_is_passed_on() -> None:
    world = World()
    world.invoke(x_amzn_trace_id="Root=1-2-3")
    assert world.tickets[0].invocation.trace_id.startswith("Root=1-2-3;Lineage=")


def test_a_call_that_goes_round_in_circles_is_stopped() -> None:
    trace = "Root=1-2-3"
    for _ in range(PASSES_MAX):
        world = World()
        world.invoke(x_amzn_trace_id=trace)
        trace = world.tickets[0].invocation.trace_id
    world = World()
    response = world.invoke(x_amzn_trace_id=trace)
    assert (response.status, world.tickets) == (400, [])
    assert b"recursive loop" in response.body


def test_the_client_context_reaches_the_function_decoded() -> None:
    world = World()
    text = '{"custom":{"k":"ü"}}'
    world.invoke(x_amz_client_context=base64.b64encode(text.encode()).decode())
    assert world.tickets[0].invocation.client_context == text
