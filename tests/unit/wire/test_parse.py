"""Labels, query, headers and body become values of the input shape, or an ApiError says why not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from lambdad.model import limits
from lambdad.model.errors import ApiError
from lambdad.wire.parse import body_limit, parse_event, parse_request
from lambdad.wire.service import LambdaService


def parse(
    service: LambdaService,
    name: str,
    body: Any = b"",
    *,
    labels: dict[str, str] | None = None,
    query: str = "",
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return parse_request(service.operations[name], labels or {}, query, headers or {}, raw)


def refusal(service: LambdaService, name: str, body: Any = b"", **rest: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        parse(service, name, body, **rest)
    return refused.value


def test_members_come_from_all_their_places(service: LambdaService) -> None:
    parsed = parse(
        service,
        "Invoke",
        b'{"a": 1}',
        labels={"FunctionName": "f"},
        query="Qualifier=live&Unknown=1",
        headers={"x-amz-invocation-type": "Event", "x-amz-log-type": "Tail", "x-other": "y"},
    )
    assert parsed == {
        "FunctionName": "f",
        "Qualifier": "live",
        "InvocationType": "Event",
        "LogType": "Tail",
        "Payload": b'{"a": 1}',
    }


def test_a_body_is_read_by_the_shapes_with_blobs_decoded(service: LambdaService) -> None:
    parsed = parse(
        service,
        "CreateFunction",
        {
            "FunctionName": "f",
            "Code": {"ZipFile": "UEsDBA==", "Unknown": 1},
            "Environment": {"Variables": {"A": "1"}},
            "Architectures": ["arm64"],
            "Timeout": 3.0,
            "Publish": True,
            "Description": None,
            "Unknown": {"x": []},
        },
    )
    assert parsed == {
        "FunctionName": "f",
        "Code": {"ZipFile": b"PK\x03\x04"},
        "Environment": {"Variables": {"A": "1"}},
        "Architectures": ["arm64"],
        "Timeout": 3,
        "Publish": True,
    }


def test_a_query_gives_lists_numbers_booleans_and_times(service: LambdaService) -> None:
    assert parse(service, "UntagResource", query="tagKeys=a&tagKeys=b%20c") == {"TagKeys": ["a", "b c"]}
    parsed = parse(
        service,
        "ListDurableExecutionsByFunction",
        query="MaxItems=5&ReverseOrder=true&Statuses=RUNNING&StartedAfter=2024-01-02T03:04:05Z&StartedBefore=1.5&Marker=",
    )
    assert parsed == {
        "MaxItems": 5,
        "ReverseOrder": True,
        "Statuses": ["RUNNING"],
        "StartedAfter": 1704164645.0,
        "StartedBefore": 1.5,
        "Marker": "",
    }


def test_times_in_a_body_may_be_numbers_or_texts(service: LambdaService) -> None:
    for given in (1704164645, "2024-01-02T03:04:05Z", "Tue, 02 Jan 2024 03:04:05 GMT", "1704164645"):
        parsed = parse(service, "CreateEventSourceMapping", {"StartingPositionTimestamp": given})
        assert parsed == {"StartingPositionTimestamp": 1704164645.0}


def test_a_structure_may_be_the_whole_body(service: LambdaService) -> None:
    parsed = parse(service, "StopDurableExecution", {"ErrorType": "E", "StackTrace": ["a"]})
    assert parsed == {"Error": {"ErrorType": "E", "StackTrace": ["a"]}}
    assert parse(service, "StopDurableExecution", b"null") == {}


def test_nulls_inside_lists_and_maps_stay_for_validation(service: LambdaService) -> None:
    parsed = parse(service, "CreateFunction", {"Layers": [None], "Tags": {"a": None}})
    assert parsed == {"Layers": [None], "Tags": {"a": None}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"FunctionName": 3}, "NUMBER_VALUE can not be converted to String"),
        ({"FunctionName": 1.5}, "DECIMAL_VALUE can not be converted to String"),
        ({"FunctionName": True}, "TRUE_VALUE can not be converted to String"),
        ({"FunctionName": False}, "FALSE_VALUE can not be converted to String"),
        ({"Timeout": "3"}, "STRING_VALUE can not be converted to Integer"),
        ({"Timeout": True}, "TRUE_VALUE can not be converted to Integer"),
        ({"Timeout": 1.5}, "DECIMAL_VALUE can not be converted to Integer"),
        ({"Timeout": 2**31}, "NUMBER_VALUE can not be converted to Integer"),
        ({"Publish": "true"}, "STRING_VALUE can not be converted to Boolean"),
        ({"FunctionName": {}}, "Start of structure or map found where not expected."),
        ({"FunctionName": []}, "Start of list found where not expected"),
        ({"Code": 1}, "Unexpected field type"),
        ({"Code": []}, "Start of list found where not expected"),
        ({"Layers": "x"}, "Unexpected field type"),
        ({"Layers": [1]}, "NUMBER_VALUE can not be converted to String"),
        ({"Environment": {"Variables": {"A": 1}}}, "NUMBER_VALUE can not be converted to String"),
        ({"Code": {"ZipFile": "***"}}, "A blob in the request is not valid base64."),
        ([], "Start of list found where not expected"),
        ("text", "Unexpected field type"),
    ],
)
def test_a_wrong_type_is_a_serialization_exception(service: LambdaService, body: Any, message: str) -> None:
    error = refusal(service, "CreateFunction", body)
    assert (error.code, error.status, error.message) == ("SerializationException", 400, message)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"a": "\xff"}', b"[" * 100_000, b'{"Timeout": 1e999}'])
def test_bytes_that_are_no_json_are_a_serialization_exception(service: LambdaService, body: bytes) -> None:
    error = refusal(service, "CreateFunction", body)
    assert (error.code, error.status) == ("SerializationException", 400)


@pytest.mark.parametrize(
    "query", ["MaxItems=abc", "MaxItems=99999999999", "MaxItems=" + "9" * 5000, "MaxItems=1%2E5", "Marker=%ff"]
)
def test_a_query_of_the_wrong_type_is_refused(service: LambdaService, query: str) -> None:
    assert refusal(service, "ListFunctions", query=query).code == "SerializationException"


def test_a_query_with_too_many_parameters_is_refused(service: LambdaService) -> None:
    error = refusal(service, "ListFunctions", query="&".join(["a=1"] * 300))
    assert error.message == "The query string has more than 200 parameters."


def test_an_oversized_body_is_refused_with_the_limit_of_its_operation(service: LambdaService) -> None:
    error = refusal(service, "Invoke", bytes(limits.PAYLOAD_SYNC_MAX + 1))
    assert (error.code, error.status) == ("RequestEntityTooLargeException", 413)
    assert error.message == "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    assert body_limit(service.operations["CreateFunction"]) == 70_167_211
    assert body_limit(service.operations["TagResource"]) == limits.PAYLOAD_SYNC_MAX


def test_an_event_must_be_json_and_nothing_is_an_empty_object() -> None:
    assert parse_event(b"") == b"{}"
    assert parse_event(b"  null ") == b"  null "
    with pytest.raises(ApiError) as refused:
        parse_event(b"{oops")
    assert (refused.value.code, refused.value.status) == ("InvalidRequestContentException", 400)
    prefix = "Could not parse request body into json: Could not parse payload into json: "
    assert refused.value.message.startswith(prefix)
