"""The response of a function URL whose invoke mode is RESPONSE_STREAM.

A runtime that streams says status and headers in a prelude (`wire.http_integration`), or has status 200 and its own
content type. A function that answers at once gets its answer sent as it is. After the first byte an error can only cut
the connection.
"""

from __future__ import annotations

from collections.abc import Callable

from lambdad.frontend.pace import Pace
from lambdad.frontend.streamed_body import StreamedBody
from lambdad.model.invocation import InvocationResult
from lambdad.wire.function_url import function_failed, response_headers
from lambdad.wire.http import Response
from lambdad.wire.http_integration import CONTENT_TYPE, Prelude, PreludeError
from lambdad.wire.server import Responder
from lambdad.worker.interface import Credit

_JSON = "application/json"
_BYTES = "application/octet-stream"


class UrlStream:
    """One response. Implements `StreamSink`. finish: adds the headers that every answer of the URL has."""

    def __init__(
        self,
        request_id: str,
        responder: Responder,
        finish: Callable[[Response], Response],
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace
        self._request_id = request_id
        self._responder = responder
        self._finish = finish
        self._body: StreamedBody | None = None
        self._prelude: Prelude | None = None
        self._failed = False

    @property
    def is_open(self) -> bool:
        """Whether the head of the response has been sent."""
        return self._body is not None and self._prelude is None

    def opened(self, content_type: str, credit: Credit) -> None:
        self._body = StreamedBody(credit, self._pace)
        if content_type.partition(";")[0].strip().lower() == CONTENT_TYPE:
            self._prelude = Prelude(self._request_id)
        else:
            self._send_head(self._body, 200, self._headers(content_type))

    def piece(self, data: bytes) -> None:
        body = self._body
        if body is None:
            return
        if self._failed:
            body.drop(len(data))
        elif self._prelude is None:
            body.push(data, len(data))
        else:
            self._read_prelude(body, self._prelude, data)

    def complete(self, result: InvocationResult) -> None:
        """The function has finished, well or not."""
        if self._failed:
            return
        if self._body is None and result.error is None:
            response = Response(200, self._headers(_JSON), result.payload)
            self._responder.send(self._finish(response))
        elif self._body is None or self._prelude is not None:
            self._refuse()
        elif result.error is None:
            self._body.end()
        else:
            self._body.cut()

    def break_off(self) -> None:
        """The platform failed in the middle of the response."""
        if self._body is not None:
            self._body.cut()

    def _read_prelude(self, body: StreamedBody, prelude: Prelude, data: bytes) -> None:
        try:
            head = prelude.feed(data)
        except PreludeError:
            self._refuse()
            head = None
        if head is None:
            body.drop(len(data))
            return
        self._prelude = None
        self._send_head(body, head.status, head.headers)
        body.push(head.body, len(data))

    def _send_head(self, body: StreamedBody, status: int, headers: list[tuple[str, str]]) -> None:
        self._responder.send(self._finish(Response(status, headers, stream=body)))

    def _refuse(self) -> None:
        self._failed = True
        self._responder.send(self._finish(function_failed(self._request_id)))

    def _headers(self, content_type: str) -> list[tuple[str, str]]:
        headers = response_headers({"content-type": content_type}, None, _BYTES, self._request_id)
        return headers or [("content-type", _BYTES), ("x-amzn-RequestId", self._request_id)]
