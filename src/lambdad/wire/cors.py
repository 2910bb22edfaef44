"""Cross-origin rules of a function URL: the preflight that the platform answers and the headers that it adds.

Source: "Cross-origin resource sharing", AWS Lambda Developer Guide. The configuration wins over what the function sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lambdad.model.settings import Cors
from lambdad.wire.http import Request, Response

_ALLOW_ORIGIN = "access-control-allow-origin"


def is_preflight(request: Request) -> bool:
    """Whether a browser asks for permission; such a request never reaches the function if rules are configured."""
    headers = request.headers
    return request.method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def answer_preflight(cors: Cors, request: Request) -> Response:
    """200 with what is allowed; without the headers, which a browser takes as a refusal, for another origin."""
    headers = _shared_headers(cors, request.headers)
    if headers:
        if cors.allow_methods:
            headers["access-control-allow-methods"] = ",".join(cors.allow_methods)
        if cors.allow_headers:
            headers["access-control-allow-headers"] = ",".join(cors.allow_headers)
        if cors.max_age is not None:
            headers["access-control-max-age"] = str(cors.max_age)
    return Response(200, list(headers.items()))


def add_cors_headers(
    cors: Cors, request_headers: Mapping[str, str], headers: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The headers of a response with the configured rules in place of the function's own."""
    ours = _shared_headers(cors, request_headers)
    if ours and cors.expose_headers:
        ours["access-control-expose-headers"] = ",".join(cors.expose_headers)
    kept = [(name, value) for name, value in headers if not name.lower().startswith("access-control-")]
    return [*kept, *ours.items()]


def _shared_headers(cors: Cors, request_headers: Mapping[str, str]) -> dict[str, str]:
    origin = request_headers.get("origin")
    allowed = cors.allow_origins or ()
    if origin is None or ("*" not in allowed and origin not in allowed):
        return {}
    if "*" in allowed and not cors.allow_credentials:
        return {_ALLOW_ORIGIN: "*"}
    headers = {_ALLOW_ORIGIN: origin, "vary": "Origin"}
    if cors.allow_credentials:
        headers["access-control-allow-credentials"] = "true"
    return headers
