"""The prelude of a streamed response: `application/vnd.awslambda.http-integration-response`.

A runtime that streams may begin with a JSON object (`statusCode`, `headers`, `cookies`), then eight NUL bytes, then the
body. `Prelude` splits that from bytes as they arrive. Pure; source: AWS Lambda Developer Guide, "Response streaming".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from lambdad.wire.function_url import response_headers, response_status

CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_MAX = 64 * 1024
"""Bytes of JSON before the separator; more than HTTP headers may have anywhere."""
_DEFAULT_TYPE = "application/octet-stream"
_SEPARATOR = b"\0" * 8


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of a streamed response, and the body's bytes that came with them."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class PreludeError(ValueError):
    """The bytes before the body are no prelude; the text says why."""


class Prelude:
    """Collects the first bytes of a streamed response until its head is known."""

    __slots__ = ("_received", "_request_id")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._received = bytearray()

    def feed(self, data: bytes) -> Head | None:
        """The head, once it is complete; then pass further bytes on yourself. Raises PreludeError."""
        searched = max(0, len(self._received) - len(_SEPARATOR) + 1)
        self._received += data
        end = self._received.find(_SEPARATOR, searched)
        if end < 0:
            if len(self._received) > PRELUDE_MAX:
                raise PreludeError(f"no end of the response's prelude within {PRELUDE_MAX} bytes")
            return None
        if end > PRELUDE_MAX:
            raise PreludeError(f"the response's prelude is longer than {PRELUDE_MAX} bytes")
        return self._head(bytes(self._received[:end]), bytes(self._received[end + len(_SEPARATOR) :]))

    def _head(self, text: bytes, body: bytes) -> Head:
        try:
            document: Any = orjson.loads(text) if text.strip() else {}
        except orjson.JSONDecodeError as error:
            raise PreludeError(f"the response's prelude is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise PreludeError("the response's prelude is not a JSON object")
        status = response_status(document.get("statusCode", 200))
        headers = response_headers(document.get("headers"), document.get("cookies"), _DEFAULT_TYPE, self._request_id)
        if status is None or headers is None:
            raise PreludeError("the response's prelude has a status, a header or a cookie that HTTP cannot carry")
        return Head(status, headers, body)
