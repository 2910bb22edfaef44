"""A request's labels, query, headers and body as a dictionary typed by the model's input shape.

Says nothing about constraints (that is `validate`) and nothing about HTTP framing. The rule: whatever the bytes are,
the outcome is a value of the shape or an ApiError. As at AWS, members that the model does not know are ignored and a
member that is null counts as absent; a null inside a list or map stays, for `validate` to refuse.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, assert_never
from urllib.parse import parse_qs

import orjson

from lambdad.model import limits
from lambdad.model.errors import ApiError, invalid_request_content, too_large
from lambdad.wire.service import Kind, Location, Member, Operation, Shape

_DEPTH_MAX = 32
"""Nesting that is followed into a value: four times what the model needs."""
_QUERY_FIELDS_MAX = 200
_CODE_OPERATIONS = frozenset({"CreateFunction", "UpdateFunctionCode", "PublishLayerVersion"})
"""Operations whose body carries a zip."""
_AWS_OPERATION_NAMES = {"Invoke": "InvokeFunction"}
"""Where AWS's texts call an operation by its name for permissions."""
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_BITS = {Kind.INTEGER: 31, Kind.LONG: 63}
_JSON_NAMES = {
    Kind.STRING: "String",
    Kind.INTEGER: "Integer",
    Kind.LONG: "Long",
    Kind.FLOAT: "Float",
    Kind.DOUBLE: "Double",
    Kind.BOOLEAN: "Boolean",
    Kind.TIMESTAMP: "Timestamp",
    Kind.BLOB: "Blob",
}


def body_limit(operation: Operation) -> int:
    """The most bytes that a request body of `operation` may have."""
    return limits.CREATE_REQUEST_MAX if operation.name in _CODE_OPERATIONS else limits.PAYLOAD_SYNC_MAX


def body_too_large(operation: Operation) -> ApiError:
    """AWS's error for a body above `body_limit`."""
    name = _AWS_OPERATION_NAMES.get(operation.name, operation.name)
    return too_large(f"Request must be smaller than {body_limit(operation)} bytes for the {name} operation")


def parse_request(
    operation: Operation, labels: Mapping[str, str], query: str, headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """The members of the operation's input that the request gives, by member name.

    labels: decoded, from `Router.match`. query: as sent. headers: names in lower case.
    Values: str, int, float, bool, bytes for blobs, list, dict; timestamps are seconds since the epoch as float.
    Raises ApiError: SerializationException 400 for what does not fit the shape, RequestEntityTooLargeException 413.
    """
    shape = operation.input
    if shape is None:
        return {}
    if len(body) > body_limit(operation):
        raise body_too_large(operation)
    parameters = _parse_query(query) if query else {}
    parsed: dict[str, Any] = {}
    in_body = False
    for member in shape.members.values():
        value: Any = None
        match member.location:
            case Location.URI:
                raw = labels.get(member.wire_name)
                value = None if raw is None else _from_text(member.shape, raw)
            case Location.QUERY:
                value = _from_query(member, parameters) if parameters else None
            case Location.HEADER:
                raw = headers.get(member.wire_name)
                value = None if raw is None else _from_text(member.shape, raw)
            case Location.PAYLOAD:
                value = _from_payload(member.shape, body) if body else None
            case Location.BODY:
                in_body = True
            case Location.STATUS:
                pass
            case _:
                assert_never(member.location)
        if value is not None:
            parsed[member.name] = value
    if in_body and body:
        _read_body(shape, body, parsed)
    return parsed


def parse_event(payload: bytes) -> bytes:
    """The payload of an invoke, checked to be JSON; nothing sent is the event `{}`.

    Raises ApiError InvalidRequestContentException 400 with AWS's text.
    """
    if not payload:
        return b"{}"
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise invalid_request_content(
            f"Could not parse request body into json: Could not parse payload into json: {error}"
        ) from None
    return payload


def _read_body(shape: Shape, body: bytes, parsed: dict[str, Any]) -> None:
    document = _load_json(body)
    if document is None:
        return
    if not isinstance(document, dict):
        raise _unexpected(document)
    for member in shape.members.values():
        if member.location is Location.BODY:
            value = document.get(member.wire_name)
            if value is not None:
                parsed[member.name] = _from_json(member.shape, value, 1)


def _load_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _serialization(f"Could not parse request body into json: {error}") from None


def _parse_query(query: str) -> dict[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX, errors="strict")
    except UnicodeDecodeError:
        raise _serialization("The query string is not valid UTF-8.") from None
    except ValueError:
        raise _serialization(f"The query string has more than {_QUERY_FIELDS_MAX} parameters.") from None


def _from_query(member: Member, parameters: Mapping[str, list[str]]) -> Any:
    shape = member.shape
    if shape.kind is Kind.MAP and shape.value is not None:
        return {key: _from_text(shape.value, values[0]) for key, values in parameters.items()}
    values = parameters.get(member.wire_name)
    if values is None:
        return None
    if shape.kind is Kind.LIST and shape.element is not None:
        return [_from_text(shape.element, value) for value in values]
    if values[0] == "" and shape.kind is not Kind.STRING:
        return None
    return _from_text(shape, values[0])


def _from_text(shape: Shape, text: str) -> Any:
    """A scalar out of a label, a query parameter or a header."""
    match shape.kind:
        case Kind.STRING:
            return text
        case Kind.INTEGER | Kind.LONG:
            if _INTEGER.fullmatch(text):
                return _bounded(shape, int(text))
            raise _mismatch("STRING_VALUE", shape)
        case Kind.BOOLEAN:
            match text.lower():
                case "true":
                    return True
                case "false":
                    return False
            raise _mismatch("STRING_VALUE", shape)
        case Kind.FLOAT | Kind.DOUBLE:
            if _NUMBER.fullmatch(text):
                return _finite(shape, float(text))
            raise _mismatch("STRING_VALUE", shape)
        case Kind.TIMESTAMP:
            return _timestamp(shape, text)
        case Kind.BLOB:
            return _blob(text)
        case Kind.STRUCTURE | Kind.LIST | Kind.MAP:
            raise _serialization("Unexpected field type")
        case _:
            assert_never(shape.kind)


def _from_payload(shape: Shape, body: bytes) -> Any:
    match shape.kind:
        case Kind.BLOB:
            return body
        case Kind.STRING:
            try:
                return body.decode()
            except UnicodeDecodeError:
                raise _serialization("The request body is not valid UTF-8.") from None
        case _:
            document = _load_json(body)
            return None if document is None else _from_json(shape, document, 1)


def _from_json(shape: Shape, value: Any, depth: int) -> Any:
    """A JSON value, not null, as a value of the shape."""
    if depth > _DEPTH_MAX:
        raise _serialization(f"The request is nested deeper than {_DEPTH_MAX} levels.")
    match shape.kind:
        case Kind.STRING:
            if isinstance(value, str):
                return value
        case Kind.BOOLEAN:
            if isinstance(value, bool):
                return value
        case Kind.INTEGER | Kind.LONG:
            if isinstance(value, int) and not isinstance(value, bool):
                return _bounded(shape, value)
            if isinstance(value, float) and value.is_integer():
                return _bounded(shape, int(value))
        case Kind.FLOAT | Kind.DOUBLE:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return _finite(shape, float(value))
        case Kind.TIMESTAMP:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return _finite(shape, float(value))
            if isinstance(value, str):
                return _timestamp(shape, value)
        case Kind.BLOB:
            if isinstance(value, str):
                return _blob(value)
        case Kind.STRUCTURE:
            if isinstance(value, dict):
                return _structure(shape, value, depth)
        case Kind.LIST:
            if isinstance(value, list) and shape.element is not None:
                element = shape.element
                return [None if item is None else _from_json(element, item, depth + 1) for item in value]
        case Kind.MAP:
            if isinstance(value, dict) and shape.value is not None:
                of = shape.value
                return {key: None if item is None else _from_json(of, item, depth + 1) for key, item in value.items()}
        case _:
            assert_never(shape.kind)
    raise _json_mismatch(shape, value)


def _structure(shape: Shape, value: dict[str, Any], depth: int) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for member in shape.members.values():
        given = value.get(member.wire_name)
        if given is not None:
            parsed[member.name] = _from_json(member.shape, given, depth + 1)
    return parsed


def _bounded(shape: Shape, value: int) -> int:
    bits = _BITS[shape.kind]
    if not -(1 << bits) <= value < (1 << bits):
        raise _mismatch("NUMBER_VALUE", shape)
    return value


def _finite(shape: Shape, value: float) -> float:
    if not math.isfinite(value):
        raise _mismatch("NUMBER_VALUE", shape)
    return value


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _serialization("A blob in the request is not valid base64.") from None


def _timestamp(shape: Shape, text: str) -> float:
    """Seconds since the epoch from ISO 8601, RFC 822 or a number: SDKs send each of them."""
    if _NUMBER.fullmatch(text):
        return _finite(shape, float(text))
    try:
        moment = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise _mismatch("STRING_VALUE", shape) from None


def _json_mismatch(shape: Shape, value: Any) -> ApiError:
    if shape.kind not in _JSON_NAMES or isinstance(value, (dict, list)):
        return _unexpected(value)
    match value:
        case bool():
            return _mismatch("TRUE_VALUE" if value else "FALSE_VALUE", shape)
        case float():
            return _mismatch("DECIMAL_VALUE", shape)
        case int():
            return _mismatch("NUMBER_VALUE", shape)
        case _:
            return _mismatch("STRING_VALUE", shape)


def _mismatch(token: str, shape: Shape) -> ApiError:
    return _serialization(f"{token} can not be converted to {_JSON_NAMES[shape.kind]}")


def _unexpected(value: Any) -> ApiError:
    match value:
        case dict():
            return _serialization("Start of structure or map found where not expected.")
        case list():
            return _serialization("Start of list found where not expected")
        case _:
            return _serialization("Unexpected field type")


def _serialization(message: str) -> ApiError:
    """The unmodelled error for bytes that are no value of the shape."""
    return ApiError("SerializationException", 400, message)
