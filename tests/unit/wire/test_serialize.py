"""Answers have the status, headers and body that the model says; errors have AWS's envelope."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from botocore.awsrequest import HeadersDict
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from lambdad.model.errors import ApiError, invalid_parameter, not_found, service_error, throttled, validation
from lambdad.wire.http import Response
from lambdad.wire.serialize import serialize_error, serialize_response
from lambdad.wire.service import LambdaService


def answer(service: LambdaService, name: str, output: dict[str, Any]) -> Response:
    return serialize_response(service.operations[name], output, "req-1")


def test_a_body_holds_the_modelled_members_that_are_set(service: LambdaService) -> None:
    response = answer(
        service,
        "CreateFunction",
        {
            "FunctionName": "f",
            "Description": "",
            "Handler": None,
            "Invented": 1,
            "Environment": {"Variables": {"A": "1", "B": None}},
            "Layers": [{"Arn": "a", "CodeSize": 3, "Invented": 2}],
        },
    )
    assert response.status == 201
    assert response.headers == [("x-amzn-RequestId", "req-1"), ("Content-Type", "application/json")]
    assert orjson.loads(response.body) == {
        "FunctionName": "f",
        "Description": "",
        "Environment": {"Variables": {"A": "1"}},
        "Layers": [{"Arn": "a", "CodeSize": 3}],
    }


def test_a_payload_is_the_body_and_other_members_are_headers(service: LambdaService) -> None:
    response = answer(
        service,
        "Invoke",
        {
            "StatusCode": 200,
            "Payload": b'{"errorMessage": "x"}',
            "FunctionError": "Unhandled",
            "LogResult": "bG9n",
            "ExecutedVersion": "$LATEST",
        },
    )
    assert (response.status, response.body) == (200, b'{"errorMessage": "x"}')
    assert dict(response.headers) == {
        "x-amzn-RequestId": "req-1",
        "x-amz-function-error": "Unhandled",
        "x-amz-log-result": "bG9n",
        "x-amz-executed-version": "$LATEST",
        "Content-Type": "application/json",
    }


def test_the_status_member_wins_over_the_model(service: LambdaService) -> None:
    assert (answer(service, "Invoke", {"StatusCode": 202}).status) == 202
    assert (answer(service, "Invoke", {"StatusCode": 204, "Payload": b"x"}).body) == b""
    assert (answer(service, "DeleteFunction", {"StatusCode": 204}).body) == b""
    assert (answer(service, "DeleteAlias", {}).status) == 204


def test_an_empty_output_is_an_empty_object(service: LambdaService) -> None:
    assert answer(service, "GetFunctionConcurrency", {}).body == b"{}"


def test_times_are_epoch_seconds_whatever_they_were_given_as(service: LambdaService) -> None:
    for moment in (1704164645.5, datetime.fromtimestamp(1704164645.5, UTC)):
        response = answer(service, "GetFunctionEventInvokeConfig", {"LastModified": moment})
        assert orjson.loads(response.body) == {"LastModified": 1704164645.5}


def test_a_header_never_ends_early(service: LambdaService) -> None:
    response = answer(service, "Invoke", {"FunctionError": "a\r\nset-cookie: x"})
    assert dict(response.headers)["x-amz-function-error"] == "a  set-cookie: x"


def test_an_event_stream_is_passed_on_with_its_type(service: LambdaService) -> None:
    async def messages() -> AsyncIterator[bytes]:
        yield b"x"

    stream = messages()
    response = answer(service, "InvokeWithResponseStream", {"EventStream": stream, "ExecutedVersion": "1"})
    assert response.stream is stream
    assert ("Content-Type", "application/vnd.amazon.eventstream") in response.headers
    with pytest.raises(TypeError, match="must be an AsyncIterator"):
        answer(service, "InvokeWithResponseStream", {"EventStream": [b"x"]})


@pytest.mark.parametrize(
    ("error", "document"),
    [
        (not_found("gone"), {"Type": "User", "Message": "gone"}),
        (invalid_parameter("bad"), {"Type": "User", "message": "bad"}),
        (service_error("oops"), {"Type": "Service", "Message": "oops"}),
        (validation("1 validation error"), {"Type": "User", "message": "1 validation error"}),
        (ApiError("AccessDeniedException", 403, "no"), {"Type": "User", "Message": "no"}),
        (ApiError("Invented", 503, "later"), {"Type": "Service", "Message": "later"}),
        (
            throttled("CallerRateLimitExceeded"),
            {"Type": "User", "message": "Rate Exceeded.", "Reason": "CallerRateLimitExceeded"},
        ),
    ],
)
def test_an_error_is_spelled_as_its_shape_spells_it(error: ApiError, document: dict[str, str]) -> None:
    response = serialize_error(error, "req-2")
    assert response.status == error.status
    assert orjson.loads(response.body) == document
    headers = dict(response.headers)
    assert headers["x-amzn-ErrorType"] == error.code
    assert headers["x-amzn-RequestId"] == "req-2"
    assert headers["Content-Type"] == "application/json"


def test_headers_of_an_error_are_sent(oracle: ServiceModel) -> None:
    response = serialize_error(throttled("CallerRateLimitExceeded", 7), "req-3")
    headers = HeadersDict(response.headers)
    raw = {"status_code": 429, "headers": headers, "body": response.body}
    parser = create_parser("rest-json")
    envelope = parser.parse(raw, oracle.operation_model("Invoke").output_shape)
    assert envelope["Error"] == {"Message": "Rate Exceeded.", "Code": "TooManyRequestsException"}
    members = parser.parse(raw, oracle.shape_for("TooManyRequestsException"))
    assert (members["retryAfterSeconds"], members["Reason"]) == ("7", "CallerRateLimitExceeded")
