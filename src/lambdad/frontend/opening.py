"""The opening of an invoke, which all its forms share: who is called, of which type, with what.

This is on the warm path: it parses by hand what the service model would parse more slowly.
Source: Invoke, AWS Lambda API reference; texts and headers as in reference/aws-lambda.md 2.1-2.3.
"""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass
from urllib.parse import unquote

import orjson

from lambdad.frontend.interface import Resolver
from lambdad.frontend.trace import new_trace_id
from lambdad.model.arn import Namespace, function_arn
from lambdad.model.errors import (
    ApiError,
    invalid_parameter,
    invalid_request_content,
    recursive_invocation,
    too_large,
)
from lambdad.model.invocation import Invocation
from lambdad.model.limits import CLIENT_CONTEXT_MAX, PAYLOAD_SYNC_MAX
from lambdad.model.lineage import PASSES_MAX, pass_through
from lambdad.model.target import Target
from lambdad.wire.http import Request, Response
from lambdad.wire.service import load_service
from lambdad.wire.validate import validate_request

_LOG_TYPES = frozenset({"None", "Tail"})


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request for a function, identified."""

    namespace: Namespace
    request_id: str
    name: str
    qualifier: str | None


@dataclass(frozen=True, slots=True)
class Opening:
    """A call that may go on. kind: its invocation type."""

    kind: str
    target: Target


def identify_call(request: Request, namespace: Namespace, label: str, request_id: str) -> Call:
    """label: the function name as it stands in the path, percent-encoded."""
    name = unquote(label) if "%" in label else label
    return Call(namespace, request_id, name, read_qualifier(request.query) if request.query else None)


def open_dispatch(resolver: Resolver, request: Request, call: Call, kinds: tuple[str, ...]) -> Opening | Response:
    """Find out what is to run; a dry run is answered already. kinds: the invocation types of the operation.

    Raises `ApiError`.
    """
    kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
    if kind not in kinds or request.headers.get("x-amz-log-type", "None") not in _LOG_TYPES:
        check_members(request, call, kinds)
        raise invalid_parameter(f"The invocation type {kind[:64]} is not supported.")
    try:
        target = resolver.resolve(call.namespace, call.name, call.qualifier, random.random())  # noqa: S311
    except ApiError as error:
        if error.status == 404:  # what is found is well named: only who finds nothing pays for a look at the name
            check_members(request, call, kinds)
        raise
    if kind == "DryRun":
        return Response(204, [("x-amzn-RequestId", call.request_id)])
    return Opening(kind, target)


def check_members(request: Request, call: Call, kinds: tuple[str, ...]) -> None:
    """Raises AWS's ValidationException if a member of the call breaks a constraint of the service model."""
    operation = load_service().operations["Invoke" if "Event" in kinds else "InvokeWithResponseStream"]
    members = {
        "FunctionName": call.name,
        "Qualifier": call.qualifier,
        "InvocationType": request.headers.get("x-amz-invocation-type"),
        "LogType": request.headers.get("x-amz-log-type"),
    }
    validate_request(operation, {name: value for name, value in members.items() if value is not None})


def read_invocation(
    request: Request, call: Call, opening: Opening, *, payload_max: int, now: float, streaming: bool
) -> Invocation:
    """What the function is given. payload_max: bytes. now: epoch seconds. Raises `ApiError`."""
    headers = request.headers
    return Invocation(
        request_id=call.request_id,
        payload=read_payload(request, payload_max, opening.kind),
        invoked_arn=opening.target.invoked_arn,
        client_context=read_client_context(headers.get("x-amz-client-context")),
        trace_id=read_trace(headers.get("x-amzn-trace-id"), opening, now),
        tail=headers.get("x-amz-log-type") == "Tail" and opening.kind == "RequestResponse",
        streaming=streaming,
    )


def read_trace(header: str | None, opening: Opening, now: float) -> str:
    """The trace that the invocation goes on with. Raises `ApiError` 400 for a call that goes round in circles.

    An event that does is accepted, and given up by whoever runs it: nobody waits for the answer.
    """
    if not header:
        return new_trace_id(now)
    spec = opening.target.spec
    trace, count = pass_through(header, function_arn(spec.namespace, spec.function_name))
    if count > PASSES_MAX and not opening.target.recursion_allowed and opening.kind != "Event":
        raise recursive_invocation()
    return trace


def read_qualifier(query: str) -> str | None:
    """The parameter `Qualifier` of a query string; None without one."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == "Qualifier":
            return unquote(value) or None
    return None


def read_payload(request: Request, limit: int, kind: str) -> bytes:
    """The event of a request, `{}` for none. limit: bytes. kind: the invocation type. Raises `ApiError` 400 and 413."""
    body = request.body
    size = len(body) + request.overflow
    if size > limit and (kind != "Event" or size > PAYLOAD_SYNC_MAX):
        raise too_large(f"Request must be smaller than {PAYLOAD_SYNC_MAX} bytes for the InvokeFunction operation")
    if size > limit:
        raise event_too_large(size, limit)
    if not body:
        return b"{}"
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid_request_content(
            f"Could not parse request body into json: Could not parse payload into json: {error}"
        ) from None
    return body


def event_too_large(size: int, limit: int) -> ApiError:
    """AWS's error for an event that a synchronous call could have carried. Sizes: bytes."""
    text = f"{size} byte payload is too large for the Event invocation type (limit {limit} bytes)"
    return ApiError("RequestTooLargeException", 413, text)


def read_client_context(header: str | None) -> str | None:
    """The client context as JSON text. Raises `ApiError` 400."""
    if not header:
        return None
    if len(header) > CLIENT_CONTEXT_MAX:
        raise invalid_parameter(f"Client context must be at most {CLIENT_CONTEXT_MAX} bytes long.")
    try:
        text = base64.b64decode(header, validate=True).decode()
        orjson.loads(text)
    except ValueError:  # of base64, of UTF-8 and of JSON: each of them raises some kind of it
        raise invalid_request_content("Client context must be a valid Base64-encoded JSON object.") from None
    return text
