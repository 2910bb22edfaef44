"""Answers of the Lambda API as HTTP responses, shaped by the model: outputs and errors.

Writes only members that the model has; None and absent are the same. Does not know what an operation means.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, assert_never

import orjson

from lambdad.model.errors import ApiError
from lambdad.wire.http import Response
from lambdad.wire.service import Kind, Location, Member, Operation, Shape, load_service

_JSON = ("Content-Type", "application/json")
_EVENT_STREAM = ("Content-Type", "application/vnd.amazon.eventstream")
_NO_BODY = frozenset({204, 304})
_LOWER_CASE_UNMODELLED = frozenset({"ValidationException"})
"""Errors outside the model whose text AWS sends as `message`; all others send `Message`."""
_LINE_ENDS = str.maketrans({"\r": " ", "\n": " ", "\0": " "})


def serialize_response(operation: Operation, output: Mapping[str, Any], request_id: str) -> Response:
    """The success of an operation.

    output: by member name; blobs are bytes, timestamps seconds since the epoch or aware datetimes, an event stream is
    an AsyncIterator of encoded messages (`wire.eventstream`). The member that the model binds to the status, if given,
    is the status; otherwise it is the model's. Raises TypeError or ValueError for an output that does not fit.
    """
    headers = [("x-amzn-RequestId", request_id)]
    shape = operation.output
    if shape is None:
        body = b"" if operation.status in _NO_BODY else b"{}"
        return Response(operation.status, [*headers, _JSON], body)
    status = operation.status
    document: dict[str, Any] = {}
    payload: Member | None = None
    for member in shape.members.values():
        value = output.get(member.name)
        match member.location:
            case Location.PAYLOAD:
                payload = member
            case Location.BODY if value is not None:
                document[member.wire_name] = _to_json(member.shape, value)
            case Location.STATUS if value is not None:
                status = int(value)
            case Location.HEADER if value is not None:
                headers.append((member.wire_name, _to_text(member.shape, value)))
            case _:
                pass
    if payload is not None:
        return _payload_response(status, headers, payload.shape, output.get(payload.name))
    if status in _NO_BODY:
        return Response(status, headers)
    return Response(status, [*headers, _JSON], orjson.dumps(document))


def serialize_error(error: ApiError, request_id: str) -> Response:
    """AWS's error envelope: code in the header, `Type` and text in the body, spelled as the error's shape spells them.

    The error's own members and headers are added and win over ours.
    """
    modelled = load_service().errors.get(error.code)
    if modelled is not None:
        sender_fault, text = modelled.sender_fault, modelled.message_member
    else:
        sender_fault = error.status < 500
        text = "message" if error.code in _LOWER_CASE_UNMODELLED else "Message"
    document = {"Type": "User" if sender_fault else "Service", text: error.message, **error.members}
    headers = {"x-amzn-ErrorType": error.code, "x-amzn-RequestId": request_id, "Content-Type": "application/json"}
    headers.update((name, _header_text(value)) for name, value in error.headers.items())
    return Response(error.status, list(headers.items()), orjson.dumps(document))


def _payload_response(status: int, headers: list[tuple[str, str]], shape: Shape, value: Any) -> Response:
    if shape.event_stream:
        if not any(name == "content-type" for name, _ in headers):
            headers.append(_EVENT_STREAM)
        if value is None:
            return Response(status, headers)
        if not isinstance(value, AsyncIterator):
            raise TypeError(f"{shape.name} must be an AsyncIterator of messages, not {type(value).__name__}")
        return Response(status, headers, stream=value)
    if value is None or status in _NO_BODY:
        return Response(status, headers)
    if shape.kind is Kind.BLOB:
        return Response(status, [*headers, _JSON], bytes(value))
    return Response(status, [*headers, _JSON], orjson.dumps(_to_json(shape, value)))


def _to_json(shape: Shape, value: Any) -> Any:
    match shape.kind:
        case Kind.STRUCTURE:
            document = {}
            for member in shape.members.values():
                item = value.get(member.name)
                if item is not None:
                    document[member.wire_name] = _to_json(member.shape, item)
            return document
        case Kind.LIST:
            element = shape.element
            return [] if element is None else [_to_json(element, item) for item in value if item is not None]
        case Kind.MAP:
            of = shape.value
            if of is None:
                return {}
            return {str(key): _to_json(of, item) for key, item in value.items() if item is not None}
        case Kind.TIMESTAMP:
            return _timestamp(value, shape.timestamp_format or "unixTimestamp")
        case Kind.BLOB:
            return base64.b64encode(value).decode()
        case Kind.STRING:
            return str(value)
        case Kind.INTEGER | Kind.LONG:
            return int(value)
        case Kind.FLOAT | Kind.DOUBLE:
            return float(value)
        case Kind.BOOLEAN:
            return bool(value)
        case _:
            assert_never(shape.kind)


def _to_text(shape: Shape, value: Any) -> str:
    """A header's value; line ends would end the header early, so they become spaces."""
    match shape.kind:
        case Kind.BOOLEAN:
            return "true" if value else "false"
        case Kind.TIMESTAMP:
            return str(_timestamp(value, shape.timestamp_format or "rfc822"))
        case _:
            return _header_text(str(value))


def _header_text(text: str) -> str:
    """One line, as UTF-8 in the Latin-1 form in which the server takes it."""
    return text.translate(_LINE_ENDS).encode("utf-8", "replace").decode("latin-1")


def _timestamp(value: float | datetime, form: str) -> float | str:
    seconds = value.timestamp() if isinstance(value, datetime) else float(value)
    match form:
        case "unixTimestamp":
            return seconds
        case "iso8601":
            moment = datetime.fromtimestamp(seconds, UTC)
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "rfc822":
            return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
        case _:
            raise ValueError(f"unknown timestamp format {form!r} in the service model")
