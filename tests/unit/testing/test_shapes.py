"""Answers against the service model."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.testing.shapes import check_answer, check_response


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("GetFunctionConfiguration", {"FunctionName": "f", "Layers": [{"Arn": "a", "CodeSize": 1}]}),
        ("GetFunctionConfiguration", {"Environment": {"Variables": {"A": "b"}}}),
        ("CreateAlias", {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}),
        ("GetFunctionEventInvokeConfig", {"LastModified": 1.5}),
        ("DeleteAlias", {}),
    ],
)
def test_what_the_model_has_is_right(operation: str, answer: dict[str, Any]) -> None:
    check_answer(operation, answer)


@pytest.mark.parametrize(
    ("operation", "answer", "text"),
    [
        ("GetFunctionConfiguration", {"Name": "f"}, r"GetFunctionConfiguration\.Name is not in the model"),
        ("GetFunctionConfiguration", {"Layers": [{"Size": 1}]}, r"Layers\[0\]\.Size is not in the model"),
        ("GetFunctionConfiguration", {"Timeout": "3"}, "Timeout is not a integer"),
        ("GetFunctionConfiguration", {"Timeout": True}, "Timeout is not a integer"),
        ("GetFunctionConfiguration", {"State": "Ready"}, "State is 'Ready', not one of"),
        ("GetFunctionConfiguration", {"Layers": ()}, "Layers is not a list"),
        ("GetFunctionConfiguration", {"Environment": []}, "Environment is not a structure"),
        ("CreateAlias", {"RoutingConfig": {"AdditionalVersionWeights": {"1": "x"}}}, "is not a double"),
        ("DeleteAlias", {"Name": "x"}, "answers nothing"),
        ("GetCodeSigningConfig", {}, "CodeSigningConfig is missing"),
    ],
)
def test_what_it_has_not_is_wrong_and_named(operation: str, answer: dict[str, Any], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        check_answer(operation, answer)


ID = {"x-amzn-RequestId": "1"}
MISSING = ID | {"x-amzn-ErrorType": "ResourceNotFoundException"}
INVALID = ID | {"x-amzn-ErrorType": "InvalidParameterValueException"}
REFUSED = ID | {"x-amzn-ErrorType": "ValidationException"}


@pytest.mark.parametrize(
    ("operation", "status", "headers", "body"),
    [
        ("GetFunctionConfiguration", 200, ID, b'{"FunctionName":"f"}'),
        ("DeleteAlias", 204, ID, b""),
        ("DeleteFunction", 204, ID, b""),
        ("Invoke", 200, ID, b"whatever"),
        ("GetFunction", 404, MISSING, b'{"Type":"User","Message":"x"}'),
        ("GetFunction", 400, INVALID, b'{"Type":"User","message":"x"}'),
        ("GetFunction", 400, REFUSED, b'{"Type":"User","message":"x"}'),
    ],
)
def test_a_response_that_the_model_allows_is_right(
    operation: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    check_response(operation, status, headers, body)


@pytest.mark.parametrize(
    ("operation", "status", "headers", "body", "text"),
    [
        ("GetFunctionConfiguration", 201, ID, b"{}", "is answered 201"),
        ("GetFunctionConfiguration", 200, ID, b"[]", "is answered"),
        ("GetFunctionConfiguration", 200, ID, b'{"Timeout":"3"}', "Timeout is not a integer"),
        ("DeleteAlias", 204, ID, b"{}", "204 with a body"),
        ("GetFunction", 404, {"x-amzn-ErrorType": "ResourceNotFoundException"}, b"{}", "no request id"),
        ("GetFunction", 404, MISSING, b'{"Type":"User","message":"x"}', "has no Message"),
        ("GetFunction", 400, INVALID, b'{"Type":"User","Message":"x"}', "has no message"),
        ("GetFunction", 400, MISSING, b'{"Type":"User","Message":"x"}', "has the status 404"),
        ("GetFunction", 404, MISSING, b'{"Type":"Service","Message":"x"}', "Service"),
        ("GetFunction", 404, MISSING, b'{"Type":"User","Message":"x","More":1}', "More"),
        ("GetFunction", 409, ID | {"x-amzn-ErrorType": "ResourceConflictException"}, b"{}", "has no error"),
    ],
)
def test_a_response_that_it_does_not_allow_is_wrong_and_named(
    operation: str, status: int, headers: dict[str, str], body: bytes, text: str
) -> None:
    with pytest.raises(AssertionError, match=text):
        check_response(operation, status, headers, body)
