"""Answers against the service model: members that it does not know, that are missing, or of a wrong type are failures.

`check_answer` is about what handlers return (the wire drops unmodelled members without a word, so a misspelt one would
go unnoticed), `check_response` about what clients get. `watch` makes a boto3 client check everything that it gets.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import botocore.loaders
import botocore.model

_SCALARS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "double": (float, int),
    "float": (float, int),
    "timestamp": (float, int),
    "blob": (bytes,),
}

_ON_THE_WIRE: Mapping[str, tuple[type, ...]] = {**_SCALARS, "blob": (str,)}
"""As JSON has them: blobs are base64."""
UNMODELLED = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 400,
    "InvalidClientTokenId": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "RequestEntityTooLargeException": 413,
    "SerializationException": 400,
    "SignatureDoesNotMatch": 403,
    "UnrecognizedClientException": 403,
    "ValidationException": 400,
}
"""Errors that AWS's front sends and the model does not have, with their statuses."""

_EMPTY = frozenset({"GetFunctionCodeSigningConfig"})
"""Answers that AWS leaves empty where there is nothing, though the model requires their members."""
_RECORDED = {("LastUpdateStatusReasonCode", "Creating")}
"""Values that AWS sends and its model does not have."""


@functools.cache
def service_model() -> Any:
    """botocore's model of the `lambda` service."""
    loader = botocore.loaders.Loader()
    return botocore.model.ServiceModel(loader.load_service_model("lambda", "service-2"), "lambda")


def check_answer(operation: str, answer: Mapping[str, Any]) -> None:
    """Raise AssertionError that names the member of `answer` that the model of `operation` does not allow."""
    shape = service_model().operation_model(operation).output_shape
    if shape is None:
        assert answer == {}, f"{operation} answers nothing, not {answer}"
        return
    _check(shape, answer, operation, _SCALARS)


def check_response(operation: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise AssertionError unless this is a success of `operation` or one of its errors. headers: names in any case."""
    if status >= 300:
        _check_error(operation, status, {name.lower(): value for name, value in headers.items()}, body)
        return
    model = service_model().operation_model(operation)
    shape = model.output_shape
    members = {} if shape is None else shape.members
    bound = any(member.serialization.get("location") == "statusCode" for member in members.values())
    assert bound or status == model.http["responseCode"], f"{operation} is answered {status}"
    if shape is None or model.has_streaming_output or model.has_event_stream_output or status == 204:
        assert status != 204 or body == b"", f"{operation}: 204 with a body"
        return
    document = json.loads(body or b"{}")
    assert isinstance(document, dict), f"{operation} is answered {body[:200]!r}"
    _check(shape, document, operation, _ON_THE_WIRE)


def watch(client: Any) -> Any:
    """The same boto3 client of Lambda, which raises AssertionError for answers that the model does not allow."""

    def check(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
        body = response_dict["body"]
        if isinstance(body, bytes):
            check_response(operation_model.name, response_dict["status_code"], response_dict["headers"], body)

    client.meta.events.register("before-parse.lambda", check)
    return client


def _check_error(operation: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    code, where = headers.get("x-amzn-errortype", ""), f"{operation}, {status}, {body[:300]!r}"
    assert headers.get("x-amzn-requestid"), f"no request id: {where}"
    document = json.loads(body)
    shapes = {shape.name: shape for shape in service_model().operation_model(operation).error_shapes}
    shape = shapes.get(code)
    if shape is None:
        assert UNMODELLED.get(code) == status, f"{operation} has no error {code}: {where}"
        assert set(document) in ({"Type", "Message"}, {"Type", "message"}), where
        return
    modelled = shape.metadata.get("error", {}).get("httpStatusCode")
    assert modelled == status, f"{code} has the status {modelled}: {where}"
    text = next(name for name in shape.members if name.lower() == "message")
    assert isinstance(document.get(text), str), f"{code} has no {text}: {where}"
    assert document["Type"] == ("User" if status < 500 else "Service"), where
    assert set(document) <= {*shape.members, "Type"}, where


def _check(shape: Any, value: Any, where: str, scalars: Mapping[str, tuple[type, ...]]) -> None:
    match shape.type_name:
        case "structure":
            assert isinstance(value, Mapping), f"{where} is not a structure: {value!r}"
            for member, inner in value.items():
                assert member in shape.members, f"{where}.{member} is not in the model"
                _check(shape.members[member], inner, f"{where}.{member}", scalars)
            for member in () if where in _EMPTY and not value else shape.required_members:
                assert member in value, f"{where}.{member} is missing"
        case "list":
            assert isinstance(value, list), f"{where} is not a list: {value!r}"
            for number, item in enumerate(value):
                _check(shape.member, item, f"{where}[{number}]", scalars)
        case "map":
            assert isinstance(value, Mapping), f"{where} is not a map: {value!r}"
            for key, item in value.items():
                _check(shape.value, item, f"{where}[{key!r}]", scalars)
        case kind:
            allowed = scalars[kind]
            right = isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
            assert right, f"{where} is not a {kind}: {value!r}"
            enum = shape.metadata.get("enum")
            known = not enum or value in enum or (shape.name, value) in _RECORDED
            assert known, f"{where} is {value!r}, not one of {enum}"
