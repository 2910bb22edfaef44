"""The Runtime API of one runtime process: HTTP in, events out.

One `RuntimeApi` serves one listener that lives in one sandbox's network namespace, so the connection itself is the
identity: an id that this sandbox does not have right now is refused, whoever's it is.
Source: "Using the Lambda runtime API", AWS Lambda Developer Guide; texts as in reference/aws-lambda.md 3.1.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Protocol

import orjson

from lambdad.model.invocation import Invocation
from lambdad.model.limits import PAYLOAD_RESPONSE_MAX
from lambdad.runtime_api.state import Call, IllegalTransition, RuntimeState, State, UnknownRequest
from lambdad.wire.http import BodyFlow, BodyReader, Request, Response
from lambdad.wire.server import Handler, Responder, ServerLimits

LIMITS = ServerLimits(
    headers=1024 * 1024 + 65_536,  # AWS allows an X-Ray cause of 1 MB in a header
    body=PAYLOAD_RESPONSE_MAX,
    body_discard=64 * 1024 * 1024,
    request_time=60.0,
    idle_time=float("inf"),  # a runtime waits in `next` for as long as it is idle
    connections=64,
)

MODE_HEADER = "lambda-runtime-function-response-mode"
"""Marks requests about which `RuntimeApi.open_body` is to be asked."""

_JSON = ("Content-Type", "application/json")
_ACCEPTED = Response(202, [_JSON], b'{"status":"OK"}\n')
_PREFIX = "/2018-06-01/runtime/"
_INVOCATION = "/2018-06-01/runtime/invocation/"
_NEXT = "/2018-06-01/runtime/invocation/next"
_STREAM_TYPE = "application/octet-stream"
_ERROR_TYPE = re.compile(r"(?:Runtime|Function)\.[A-Z][a-zA-Z]+")


class RuntimeEvents(Protocol):
    """What the owner of a sandbox hears from its runtime."""

    def ready(self) -> None:
        """The first `next`: the init phase is over."""
        ...

    def waits(self) -> None:
        """A later `next`, and nothing is there to do."""
        ...

    def init_failed(self, payload: bytes, error_type: str) -> None: ...

    def responded(self, payload: bytes) -> None: ...

    def errored(self, payload: bytes, error_type: str) -> None: ...

    def response_too_large(self, size: int) -> None: ...

    def stream_opened(self, content_type: str, flow: BodyFlow) -> None:
        """A response begins that comes in pieces. flow: holds the function back."""
        ...

    def stream_data(self, piece: bytes) -> None: ...

    def stream_ended(self) -> None: ...

    def stream_failed(self, payload: bytes, error_type: str) -> None:
        """The function failed in the middle of its response. payload: its error object as JSON text."""
        ...

    def stream_cut(self) -> None:
        """The response broke off: no end, no error."""
        ...


class RuntimeApi:
    """Answers the calls of one runtime process. `handle` is the handler of an `HttpServer`.

    others: takes what is not the Runtime API's; by default nothing is.
    """

    def __init__(self, events: RuntimeEvents, others: Handler | None = None) -> None:
        self._events = events
        self._others: Handler = others or _refuse_others
        self._state = RuntimeState()
        self._waiting: Responder | None = None
        self._undelivered: tuple[Invocation, int] | None = None

    @property
    def delivered(self) -> bool:
        """Whether the runtime has taken the last invocation."""
        return self._undelivered is None

    @property
    def is_waiting(self) -> bool:
        """Whether the runtime has asked for an invocation and has none."""
        return self._state.state is State.READY

    def deliver(self, invocation: Invocation, deadline_ms: int) -> None:
        """Give the runtime an invocation: now if it waits for one, else as soon as it asks.

        deadline_ms: milliseconds since the epoch.
        """
        assert self._undelivered is None
        waiting = self._waiting
        if self._state.state is not State.READY or waiting is None or waiting.gone:
            self._undelivered = (invocation, deadline_ms)
            return
        self._waiting = None
        self._state.deliver(invocation.request_id)
        waiting.send(Response(200, _invocation_headers(invocation, deadline_ms), invocation.payload))

    def handle(self, request: Request, responder: Responder) -> None:
        try:
            self._route(request, responder)
        except UnknownRequest:
            responder.send(_refusal(400, "InvalidRequestID", "Invalid request ID"))
        except IllegalTransition as error:
            responder.send(_refusal(403, "InvalidStateTransition", str(error)))

    def open_body(self, request: Request, responder: Responder, flow: BodyFlow) -> BodyReader | None:
        """The `BodyOpener` of the server: takes streamed responses; whatever is wrong is left to `handle` to refuse."""
        path = request.path
        if _mode(request) != "streaming" or request.method != "POST" or not path.startswith(_INVOCATION):
            return None
        request_id, _, action = path[len(_INVOCATION) :].partition("/")
        if action != "response":
            return None
        try:
            self._state.call(Call.STREAM, request_id)
        except (UnknownRequest, IllegalTransition):
            return None
        self._events.stream_opened(request.headers.get("content-type") or _STREAM_TYPE, flow)
        return _StreamedResponse(self._events, self._state, responder)

    def _route(self, request: Request, responder: Responder) -> None:
        path, method = request.path, request.method
        if method == "GET" and path == _NEXT:
            self._next(responder)
        elif method == "POST" and path.startswith(_INVOCATION):
            request_id, _, action = path[len(_INVOCATION) :].partition("/")
            if action == "response":
                self._response(request_id, request, responder)
            elif action == "error":
                self._error(request_id, request, responder)
            else:
                responder.send(_NOT_FOUND)
        elif method == "POST" and path in (_PREFIX + "init/error", _PREFIX + "restore/error"):
            self._init_error(request, responder)
        elif method == "GET" and path == "/2018-06-01/ping":
            responder.send(Response(200, [("Content-Type", "text/plain")], b"pong"))
        else:
            self._others(request, responder)

    def _next(self, responder: Responder) -> None:
        first = self._state.state is State.STARTED
        self._state.call(Call.NEXT)
        self._waiting = responder
        if self._undelivered is not None:
            invocation, deadline_ms = self._undelivered
            self._undelivered = None
            self.deliver(invocation, deadline_ms)
        elif first:
            self._events.ready()
        else:
            self._events.waits()

    def _response(self, request_id: str, request: Request, responder: Responder) -> None:
        if MODE_HEADER in request.headers and _mode(request) not in ("buffered", "streaming"):
            responder.send(_refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode"))
            return
        self._state.call(Call.RESPONSE, request_id)
        if request.overflow:
            text = f"Exceeded maximum allowed payload size ({PAYLOAD_RESPONSE_MAX} bytes)."
            responder.send(_refusal(413, "RequestEntityTooLarge", text))
            self._events.response_too_large(request.overflow)
            return
        self._events.responded(request.body)  # first: a caller waits for it
        responder.send(_ACCEPTED)

    def _error(self, request_id: str, request: Request, responder: Responder) -> None:
        self._state.call(Call.ERROR, request_id)
        self._events.errored(request.body, _error_type(request, "Function.Unknown"))
        responder.send(_ACCEPTED)

    def _init_error(self, request: Request, responder: Responder) -> None:
        self._state.call(Call.INIT_ERROR)
        responder.send(_ACCEPTED)
        self._events.init_failed(request.body, _error_type(request, "Runtime.Unknown"))


def _refuse_others(request: Request, responder: Responder) -> None:
    responder.send(_NOT_FOUND)


class _StreamedResponse:
    """The body of one `response` that comes in pieces."""

    __slots__ = ("_events", "_responder", "_state")

    def __init__(self, events: RuntimeEvents, state: RuntimeState, responder: Responder) -> None:
        self._events = events
        self._state = state
        self._responder = responder

    def data(self, piece: bytes) -> None:
        self._events.stream_data(piece)

    def end(self, trailers: Mapping[str, str]) -> None:
        self._state.finish()
        error_type = trailers.get("lambda-runtime-function-error-type")
        if error_type is None:
            self._events.stream_ended()  # first: a caller waits for it
        else:
            named = error_type if _ERROR_TYPE.fullmatch(error_type) else "Function.Unknown"
            self._events.stream_failed(_error_body(error_type, trailers), named)
        self._responder.send(_ACCEPTED)

    def cut(self) -> None:
        self._events.stream_cut()


def _mode(request: Request) -> str:
    return request.headers.get(MODE_HEADER, "").lower()


def _error_body(error_type: str, trailers: Mapping[str, str]) -> bytes:
    """The error object of a response that failed midway; one made from its type if the runtime sent none."""
    try:
        body = base64.b64decode(trailers.get("lambda-runtime-function-error-body", ""), validate=True)
    except (binascii.Error, ValueError):
        body = b""
    return body or orjson.dumps({"errorType": error_type, "errorMessage": "The function failed while it responded"})


def _invocation_headers(invocation: Invocation, deadline_ms: int) -> list[tuple[str, str]]:
    headers = [
        _JSON,
        ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", invocation.invoked_arn),
        ("Lambda-Runtime-Trace-Id", invocation.trace_id),
    ]
    if invocation.client_context is not None:
        # Header values go out as latin-1; UTF-8 bytes survive that, and runtimes read them as UTF-8.
        context = invocation.client_context.encode().decode("latin-1")
        headers.append(("Lambda-Runtime-Client-Context", context))
    return headers


def _error_type(request: Request, unknown: str) -> str:
    """The runtime's own name for an error, where it has AWS's form."""
    named = request.headers.get("lambda-runtime-function-error-type", "")
    return named if _ERROR_TYPE.fullmatch(named) else unknown


def _refusal(status: int, error_type: str, message: str) -> Response:
    text = message.replace("\\", "\\\\").replace('"', '\\"')
    return Response(status, [_JSON], f'{{"errorMessage":"{text}","errorType":"{error_type}"}}\n'.encode())


_NOT_FOUND = Response(404, [("Content-Type", "text/plain")], b"404 page not found\n")
