"""Function URLs: an HTTP request as an event in payload format 2.0, and what the function returns as an HTTP response.

Pure: the time and the identifiers are parameters. Calls no function and knows no routing; the answers to callers that
never reach a function (`forbidden`, `unknown_url`) are here because their bodies are part of the same contract.
Cross-origin rules are in `wire.cors`, streamed responses in `wire.http_integration`.

Sources: "Invoking Lambda function URLs", AWS Lambda Developer Guide; recordings of AWS where the two differ (a string
that a function returns is sent without its quotes).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from lambdad.model import limits
from lambdad.model.errors import ApiError, too_large
from lambdad.wire.http import Request, Response

_JSON = "application/json"
_TEXT_TYPES = re.compile("text|json|xml|javascript")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_BAD_VALUE = re.compile(r"[\r\n\0]")
_QUERY_FIELDS_MAX = 1_000
_NOT_PASSED_ON = frozenset({"connection", "cookie", "keep-alive", "transfer-encoding", "upgrade", "expect", "te"})
"""Headers of the connection, not of the request; cookies have a place of their own in the event."""
_RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    }
)
"""Headers of a function's response that AWS renames to `x-amzn-remapped-...`: they belong to the server."""
_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IamCaller:
    """Who signed the request, for URLs with AWS_IAM."""

    access_key: str
    account: str
    caller_id: str
    user_arn: str
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlContext:
    """What the event says about the request beyond the request itself.

    domain_name: host of the URL. scheme, port: as the client used them. source_ip: of the client.
    caller: None for URLs with AuthType NONE.
    """

    url_id: str
    domain_name: str
    request_id: str
    source_ip: str
    trace_id: str
    scheme: str = "https"
    port: int = 443
    caller: IamCaller | None = None


def build_event(request: Request, context: UrlContext, *, now: float) -> bytes:
    """The event of a request as JSON text. now: seconds since the epoch.

    Raises ApiError RequestEntityTooLargeException 413 for an event above the limit of a synchronous invoke, base64
    growth included, and InvalidRequestContentException 400 for a query with more than 1,000 parameters.
    """
    path = _from_wire(request.path) or "/"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": _from_wire(request.query),
    }
    cookies = [cookie for cookie in map(str.strip, _from_wire(request.headers.get("cookie", "")).split(";")) if cookie]
    if cookies:
        event["cookies"] = cookies
    event["headers"] = _event_headers(request.headers, context)
    parameters = _query_parameters(request.query)
    if parameters:
        event["queryStringParameters"] = parameters
    event["requestContext"] = _request_context(request, context, path, now)
    is_text = _is_text(request)
    if request.body:
        event["body"] = request.body.decode() if is_text else base64.b64encode(request.body).decode()
    event["isBase64Encoded"] = bool(request.body) and not is_text
    encoded = orjson.dumps(event)
    if len(encoded) > limits.PAYLOAD_SYNC_MAX:
        raise too_large(
            f"Request must be smaller than {limits.PAYLOAD_SYNC_MAX} bytes for the InvokeFunction operation"
        )
    return encoded


def build_response(payload: bytes, request_id: str) -> Response:
    """The HTTP response for what a function returned, JSON text.

    An object with `statusCode` says all of it; anything else is a body with status 200. What cannot be a response is
    502, as is an error of the function, for which use `function_failed`.
    """
    try:
        value = orjson.loads(payload) if payload else None
    except orjson.JSONDecodeError:
        return function_failed(request_id)
    try:
        if isinstance(value, dict) and value.get("statusCode") is not None:
            return _explicit_response(value, request_id)
        body = value.encode() if isinstance(value, str) else payload
        return Response(200, _headers(request_id, {"content-type": _JSON}, ()), body)
    except _BadResponse:
        return function_failed(request_id)


def function_failed(request_id: str) -> Response:
    """The function raised, timed out, or returned no response that HTTP can carry."""
    headers = _headers(request_id, {"content-type": _JSON}, ())
    return Response(502, headers, b"Internal Server Error")


def forbidden() -> ApiError:
    """No permission, no or a bad signature, or an alias that is gone."""
    return ApiError("AccessDeniedException", 403, _FORBIDDEN)


def unknown_url(request_id: str) -> Response:
    headers = _headers(request_id, {"content-type": _JSON, "x-amzn-ErrorType": "AccessDeniedException"}, ())
    return Response(403, headers, b'{"Message":null}')


def response_headers(headers: Any, cookies: Any, default_type: str, request_id: str) -> list[tuple[str, str]] | None:
    """Headers and cookies that a function gave, checked and completed; None if HTTP cannot carry them."""
    try:
        return _headers(request_id, _function_headers(headers, default_type), _function_cookies(cookies))
    except _BadResponse:
        return None


def response_status(value: Any) -> int | None:
    """A status that a function gave, a number or its text; None if HTTP has no such status."""
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599:
        return value
    return None


class _BadResponse(Exception):
    """What the function returned is no HTTP response."""


def _event_headers(given: Mapping[str, str], context: UrlContext) -> dict[str, str]:
    headers = {name: value for name, value in given.items() if name not in _NOT_PASSED_ON}
    headers.setdefault("host", context.domain_name)
    headers["x-amzn-trace-id"] = context.trace_id
    headers["x-forwarded-for"] = context.source_ip
    headers["x-forwarded-port"] = str(context.port)
    headers["x-forwarded-proto"] = context.scheme
    return {name: _from_wire(value) for name, value in sorted(headers.items())}


def _query_parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError:
        raise ApiError(
            "InvalidRequestContentException", 400, f"More than {_QUERY_FIELDS_MAX} query parameters."
        ) from None
    joined: dict[str, list[str]] = {}
    for name, value in pairs:
        joined.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in joined.items()}


def _request_context(request: Request, context: UrlContext, path: str, now: float) -> dict[str, Any]:
    caller = context.caller
    described: dict[str, Any] = {
        "accountId": "anonymous" if caller is None else caller.account,
        "apiId": context.url_id,
    }
    if caller is not None:
        described["authorizer"] = {
            "iam": {
                "accessKey": caller.access_key,
                "accountId": caller.account,
                "callerId": caller.caller_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": caller.user_arn,
                "userId": caller.user_id,
            }
        }
    moment = datetime.fromtimestamp(now, UTC)
    return {
        **described,
        "domainName": context.domain_name,
        "domainPrefix": context.url_id,
        "http": {
            "method": request.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": context.source_ip,
            "userAgent": _from_wire(request.headers.get("user-agent", "")),
        },
        "requestId": context.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S} +0000",
        "timeEpoch": int(now * 1000),
    }


def _is_text(request: Request) -> bool:
    """Whether the body goes into the event as text: by its type, if it is not compressed and is UTF-8."""
    if request.headers.get("content-encoding", "identity") != "identity":
        return False
    if not _TEXT_TYPES.search(request.headers.get("content-type", "").lower()):
        return False
    try:
        request.body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _explicit_response(value: Mapping[str, Any], request_id: str) -> Response:
    status = response_status(value["statusCode"])
    if status is None:
        raise _BadResponse
    given, cookies = _function_headers(value.get("headers"), _JSON), _function_cookies(value.get("cookies"))
    headers = _headers(request_id, given, cookies)
    body = value.get("body")
    encoded = value.get("isBase64Encoded")
    if body is None:
        content = b""
    elif not isinstance(body, str) or not isinstance(encoded, (bool, type(None))):
        raise _BadResponse
    elif encoded:
        try:
            content = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise _BadResponse from None
    else:
        content = body.encode()
    return Response(status, headers, content)


def _function_headers(given: Any, default_type: str) -> dict[str, str]:
    headers = {"content-type": default_type}
    if given is None:
        return headers
    if not isinstance(given, dict):
        raise _BadResponse
    for name, value in given.items():
        match value:
            case None:
                continue
            case bool():
                text = "true" if value else "false"
            case str() | int() | float():
                text = str(value)
            case _:
                raise _BadResponse
        if not _TOKEN.fullmatch(name) or _BAD_VALUE.search(text):
            raise _BadResponse
        lower = name.lower()
        headers[f"x-amzn-remapped-{lower}" if lower in _RESERVED else lower] = _to_wire(text)
    return headers


def _function_cookies(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise _BadResponse
    for cookie in given:
        if not isinstance(cookie, str) or _BAD_VALUE.search(cookie):
            raise _BadResponse
    return tuple(map(_to_wire, given))


def _headers(request_id: str, headers: Mapping[str, str], cookies: tuple[str, ...]) -> list[tuple[str, str]]:
    return [*headers.items(), *(("set-cookie", cookie) for cookie in cookies), ("x-amzn-RequestId", request_id)]


def _to_wire(text: str) -> str:
    """A header's text as UTF-8, in the Latin-1 form in which the server takes it."""
    return text.encode("utf-8", "replace").decode("latin-1")


def _from_wire(text: str) -> str:
    """Text that JSON can carry of a path, query or header, which the server hands on as Latin-1, byte by byte."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")
