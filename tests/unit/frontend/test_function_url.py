"""Function URLs as the frontend answers them, without sockets, workers or a store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lambdad.frontend.desk import Desk
from lambdad.frontend.function_url import FunctionUrlFrontend, is_url_host
from lambdad.model.arn import Namespace
from lambdad.model.clock import SystemClock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, function_not_found, throttled
from lambdad.model.invocation import InvocationResult
from lambdad.model.limits import PAYLOAD_SYNC_MAX
from lambdad.model.settings import Cors, FunctionUrl
from lambdad.model.target import Target
from lambdad.node.gate import GateOfUrls
from lambdad.placement.service import Ticket
from lambdad.testing.gates import open_gate
from lambdad.testing.specs import HERE, make_target
from lambdad.wire.http import Request, Response
from lambdad.wire.serialize import serialize_error

HOST = "abc.lambda-url.us-east-1.localhost:9000"
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=111122223333/20260102/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"
)


class World:
    """One URL, `abc`, of the function `f`."""

    gone = False

    def __init__(
        self,
        result: InvocationResult | ApiError | None = None,
        *,
        alias: str | None = None,
        auth_type: str = "NONE",
        cors: Cors | None = None,
    ) -> None:
        self.result = result or InvocationResult(payload=b'"ok"', timings={"duration": 1.0})
        self.config = FunctionUrl(id="abc", url="", auth_type=auth_type, cors=cors, created=0.0, last_modified=0.0)
        self.alias = alias
        self.resolved: list[tuple[str, str | None]] = []
        self.tickets: list[Ticket] = []
        self.responses: list[Response] = []
        self.rejections: list[ApiError] = []
        self.observed: list[Mapping[str, float]] = []
        desk = Desk(resolver=self, runner=self, observer=self, write_error=serialize_error, clock=SystemClock())
        self.frontend = FunctionUrlFrontend(desk, self, GateOfUrls(open_gate()))

    def url(self, identity: str) -> tuple[Namespace, str, str | None, FunctionUrl] | None:
        return (HERE, "f", self.alias, self.config) if identity == "abc" else None

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        self.resolved.append((name, qualifier))
        if qualifier == "deleted":
            raise function_not_found("arn:f:deleted")
        return make_target()

    def submit(self, ticket: Ticket) -> None:
        if isinstance(self.result, ApiError) and self.result.status == 429:
            raise self.result
        self.tickets.append(ticket)
        ticket.settle(self.result)

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None:
        self.observed.append(timings)

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None:
        self.rejections.append(error)

    def send(self, response: Response) -> None:
        self.responses.append(response)

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        query: str = "",
        body: bytes = b"",
        overflow: int = 0,
        **headers: str,
    ) -> Response:
        given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = Request(method, path, query, given, body, "192.0.2.1", overflow)
        if path.startswith("/_url/"):
            self.frontend.serve_path(request, "id-1", self)
        else:
            self.frontend.serve_host(request, "id-1", self)
        [response] = self.responses
        return response

    @property
    def event(self) -> dict[str, Any]:
        [ticket] = self.tickets
        event: dict[str, Any] = json.loads(ticket.invocation.payload)
        return event


def headers_of(response: Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers}


def test_the_host_name_tells_a_function_url_from_the_api() -> None:
    assert is_url_host({"host": HOST})
    assert not is_url_host({"host": "localhost:9000"})
    assert not is_url_host({})


def test_a_request_becomes_an_event_and_the_answer_a_response() -> None:
    world = World(InvocationResult(payload=b'{"statusCode":201,"body":"hi"}', timings={"duration": 1.0}))
    response = world.ask("PUT", "/a%20b", "x=1", b"{}", content_type="application/json")
    assert (response.status, response.body) == (201, b"hi")
    headers = headers_of(response)
    assert headers["x-amzn-requestid"] == world.event["requestContext"]["requestId"] == "id-1"
    assert headers["x-amzn-trace-id"] == world.event["headers"]["x-amzn-trace-id"]
    assert (world.event["rawPath"], world.event["rawQueryString"], world.event["body"]) == ("/a%20b", "x=1", "{}")
    assert world.event["headers"]["host"] == HOST
    assert world.event["headers"]["x-forwarded-port"] == "9000"
    assert world.event["headers"]["x-forwarded-proto"] == "http"
    assert world.event["requestContext"]["domainName"] == "abc.lambda-url.us-east-1.localhost"
    assert world.event["requestContext"]["http"]["sourceIp"] == "192.0.2.1"
    assert set(world.observed[0]) == {"duration", "total"}


@pytest.mark.parametrize(("path", "seen"), [("/_url/abc/a/b", "/a/b"), ("/_url/abc/", "/"), ("/_url/abc", "/")])
def test_by_path_the_function_sees_the_path_after_the_id(path: str, seen: str) -> None:
    world = World()
    assert world.ask(path=path).status == 200
    assert world.event["rawPath"] == seen
    assert world.event["requestContext"]["domainName"] == "abc.lambda-url.us-east-1.localhost"


@pytest.mark.parametrize("path", ["/_url/nobody/", "/_url/", "/_url//"])
def test_an_unknown_id_is_refused_as_aws_does(path: str) -> None:
    response = World().ask(path=path)
    assert (response.status, response.body) == (403, b'{"Message":null}')
    assert headers_of(response)["x-amzn-errortype"] == "AccessDeniedException"


def test_a_url_of_an_alias_runs_the_alias() -> None:
    world = World(alias="live")
    assert world.ask().status == 200
    assert world.resolved == [("f", "live")]


def test_a_url_whose_alias_is_gone_is_forbidden() -> None:
    response = World(alias="deleted").ask()
    assert response.status == 403
    assert json.loads(response.body)["Message"].startswith("Forbidden.")


@pytest.mark.parametrize(
    "authorization", ["", "Bearer x", SIGNED.replace("/lambda/", "/s3/"), "AWS4-HMAC-SHA256 Credential=x"]
)
def test_without_a_signature_for_lambda_a_url_with_iam_is_forbidden(authorization: str) -> None:
    world = World(auth_type="AWS_IAM")
    response = world.ask(authorization=authorization)
    assert (response.status, set(json.loads(response.body))) == (403, {"Message"})
    assert headers_of(response)["x-amzn-errortype"] == "AccessDeniedException"
    assert world.tickets == []


def test_the_signer_is_told_to_the_function() -> None:
    world = World(auth_type="AWS_IAM")
    assert world.ask(authorization=SIGNED.replace("111122223333", HERE.account)).status == 200
    assert world.event["requestContext"]["accountId"] == HERE.account
    assert world.event["requestContext"]["authorizer"]["iam"]["accessKey"] == HERE.account
    assert world.event["requestContext"]["authorizer"]["iam"]["userArn"] == f"arn:aws:iam::{HERE.account}:root"


def test_a_signer_of_another_account_needs_a_permission() -> None:
    world = World(auth_type="AWS_IAM")
    assert world.ask(authorization=SIGNED).status == 403
    assert world.tickets == []


def test_a_signature_in_the_query_counts_too() -> None:
    world = World(auth_type="AWS_IAM")
    query = "X-Amz-Credential=AKIAX%2F20260102%2Fus-east-1%2Flambda%2Faws4_request&X-Amz-Signature=0"
    assert world.ask(query=query).status == 200
    assert world.event["requestContext"]["authorizer"]["iam"]["accessKey"] == "AKIAX"


CORS = Cors(allow_origins=("https://a.example",), allow_methods=("GET",), expose_headers=("x-b",))


def test_a_preflight_is_answered_without_the_function() -> None:
    world = World(cors=CORS, auth_type="AWS_IAM")
    response = world.ask("OPTIONS", origin="https://a.example", access_control_request_method="GET")
    assert response.status == 200
    assert headers_of(response)["access-control-allow-methods"] == "GET"
    assert world.tickets == []


def test_without_rules_for_origins_the_function_sees_the_preflight() -> None:
    world = World()
    world.ask("OPTIONS", origin="https://a.example", access_control_request_method="GET")
    assert world.event["requestContext"]["http"]["method"] == "OPTIONS"


def test_answers_and_errors_carry_the_rules_for_origins() -> None:
    for result in (None, throttled("ConcurrentInvocationLimitExceeded")):
        response = World(result, cors=CORS).ask(origin="https://a.example")
        assert headers_of(response)["access-control-allow-origin"] == "https://a.example"
        assert headers_of(response)["access-control-expose-headers"] == "x-b"


def test_an_error_of_the_function_is_a_bad_gateway() -> None:
    result = InvocationResult(payload=b"{}", error="Unhandled", error_type="X", timings={"duration": 1.0})
    response = World(result).ask()
    assert (response.status, response.body) == (502, b"Internal Server Error")


def test_a_throttle_tells_its_reason() -> None:
    world = World(throttled("ReservedFunctionConcurrentInvocationLimitExceeded"))
    response = world.ask()
    assert response.status == 429
    assert json.loads(response.body) == {
        "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
        "Type": "User",
        "message": "Rate Exceeded.",
    }
    assert [error.status for error in world.rejections] == [429]


@pytest.mark.parametrize(
    ("body", "overflow"),
    [(b"x" * (PAYLOAD_SYNC_MAX + 1), 0), (b"x" * (PAYLOAD_SYNC_MAX * 4 // 5), 0), (b"", 80_000_000)],
)
def test_a_request_too_large_is_refused_base64_counted(body: bytes, overflow: int) -> None:
    world = World()
    assert world.ask("POST", body=body, overflow=overflow).status == 413
    assert world.tickets == []


def test_what_goes_wrong_on_the_platform_is_answered_in_its_words() -> None:
    assert World(ApiError("ServiceException", 500, "lost")).ask().status == 500
