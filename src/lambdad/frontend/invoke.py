"""The synchronous Invoke: HTTP in, a ticket for placement, HTTP out.

This is the warm path. It parses by hand what the service model would parse more slowly, and it awaits nothing.
Source: Invoke, AWS Lambda API reference; texts and headers as in reference/aws-lambda.md 2.1-2.3.
"""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

import orjson

from lambdad.frontend.trace import new_trace_id
from lambdad.model.arn import Namespace
from lambdad.model.clock import Clock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, invalid_parameter, invalid_request_content, too_large, validation
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import CLIENT_CONTEXT_MAX, PAYLOAD_ASYNC_MAX, PAYLOAD_SYNC_MAX
from lambdad.placement.service import Ticket
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

_TYPES = ("Event", "RequestResponse", "DryRun")
_JSON = ("Content-Type", "application/json")
_REMAPPED = ("x-amzn-Remapped-Content-Length", "0")


class Target(Protocol):
    """What a name and a qualifier stand for."""

    @property
    def spec(self) -> EnvironmentSpec: ...
    @property
    def executed_version(self) -> str: ...
    @property
    def invoked_arn(self) -> str: ...
    @property
    def qualifier(self) -> str | None: ...
    @property
    def reserved_concurrency(self) -> int | None: ...


class Resolver(Protocol):
    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        """`name` in any form that AWS takes. `draw` in [0, 1) chooses between the versions of an alias.
        Raises `ApiError`.
        """
        ...


class Runner(Protocol):
    def submit(self, ticket: Ticket) -> None: ...


class Acceptor(Protocol):
    """Takes events for later."""

    def accept(self, target: Target, invocation: Invocation, done: AcceptDone) -> None:
        """Put an event on disk; `done` is called once, when it is there or cannot be. Raises `ApiError` if full."""
        ...


class AcceptDone(Protocol):
    def __call__(self, error: ApiError | None, /) -> None: ...


class Observer(Protocol):
    """Hears of each finished invocation, for metrics. timings: milliseconds by phase."""

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None: ...

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None: ...


class ErrorWriter(Protocol):
    def __call__(self, error: ApiError, request_id: str) -> Response: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request for Invoke, identified."""

    namespace: Namespace
    request_id: str
    name: str
    qualifier: str | None


class InvokeFrontend:
    """Answers Invoke."""

    def __init__(
        self,
        resolver: Resolver,
        runner: Runner,
        observer: Observer,
        write_error: ErrorWriter,
        clock: Clock,
        acceptor: Acceptor | None = None,
    ) -> None:
        self._resolver = resolver
        self._runner = runner
        self._observer = observer
        self._write_error = write_error
        self._clock = clock
        self._acceptor = acceptor

    def invoke(self, request: Request, namespace: Namespace, label: str, request_id: str, responder: Responder) -> None:
        """Answer one request. label: the function name as it stands in the path, percent-encoded."""
        name = unquote(label) if "%" in label else label
        call = Call(namespace, request_id, name, read_qualifier(request.query) if request.query else None)
        try:
            self._dispatch(request, call, responder)
        except ApiError as error:
            self._observer.rejected(namespace, name, error)
            responder.send(self._write_error(error, request_id))

    def _dispatch(self, request: Request, call: Call, responder: Responder) -> None:
        headers = request.headers
        kind = headers.get("x-amz-invocation-type", "RequestResponse")
        if kind not in _TYPES:
            raise validation(
                f"1 validation error detected: Value '{kind}' at 'invocationType' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{', '.join(_TYPES)}]"
            )
        target = self._resolver.resolve(call.namespace, call.name, call.qualifier, random.random())  # noqa: S311
        if kind == "DryRun":
            responder.send(Response(204, [("x-amzn-RequestId", call.request_id)]))
            return
        payload = read_payload(request, PAYLOAD_ASYNC_MAX if kind == "Event" else PAYLOAD_SYNC_MAX)
        trace_id = headers.get("x-amzn-trace-id") or new_trace_id(self._clock.time())
        invocation = Invocation(
            request_id=call.request_id,
            payload=payload,
            invoked_arn=target.invoked_arn,
            client_context=read_client_context(headers.get("x-amz-client-context")),
            trace_id=trace_id,
            tail=headers.get("x-amz-log-type") == "Tail" and kind == "RequestResponse",
        )
        if kind == "Event":
            self._accept(target, invocation, call, responder)
        else:
            self._run(target, invocation, call, responder)

    def _run(self, target: Target, invocation: Invocation, call: Call, responder: Responder) -> None:
        def done(ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
            if isinstance(outcome, ApiError):
                self._observer.rejected(call.namespace, call.name, outcome)
                responder.send(self._write_error(outcome, call.request_id))
                return
            timings = ticket.timings
            timings.update(outcome.timings)
            timings["total"] = (self._clock.monotonic() - ticket.arrived) * 1000
            responder.send(_response(target, invocation, outcome, timings))
            self._observer.invoked(ticket.spec, outcome, timings)

        ticket = Ticket(target.spec, invocation, target.reserved_concurrency, self._clock.monotonic(), done)
        self._runner.submit(ticket)

    def _accept(self, target: Target, invocation: Invocation, call: Call, responder: Responder) -> None:
        if self._acceptor is None:
            raise ApiError(
                "InvalidRequestContentException", 400, "Asynchronous invocation (Event) is not available on this node."
            )

        def done(error: ApiError | None) -> None:
            if error is None:
                headers = [_JSON, ("x-amzn-RequestId", call.request_id), _REMAPPED]
                responder.send(Response(202, [*headers, ("X-Amzn-Trace-Id", invocation.trace_id)]))
            else:
                responder.send(self._write_error(error, call.request_id))

        self._acceptor.accept(target, invocation, done)


def _response(
    target: Target, invocation: Invocation, result: InvocationResult, timings: Mapping[str, float]
) -> Response:
    headers = [
        _JSON,
        ("x-amzn-RequestId", invocation.request_id),
        _REMAPPED,
        ("X-Amz-Executed-Version", target.executed_version),
        ("X-Amzn-Trace-Id", invocation.trace_id),
        ("X-Lambdad-Timings", orjson.dumps({name: round(ms, 3) for name, ms in timings.items()}).decode()),
    ]
    if result.error is not None:
        headers.append(("X-Amz-Function-Error", result.error))
    if invocation.tail:
        headers.append(("X-Amz-Log-Result", base64.b64encode(result.log_tail).decode("ascii")))
    return Response(200, headers, result.payload)


def read_qualifier(query: str) -> str | None:
    """The parameter `Qualifier` of a query string; None without one."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == "Qualifier":
            return unquote(value) or None
    return None


def read_payload(request: Request, limit: int) -> bytes:
    """The event of a request, `{}` for none. limit: bytes. Raises `ApiError` 400 and 413."""
    body = request.body
    if request.overflow or len(body) > limit:
        raise too_large(f"Request must be smaller than {limit} bytes for the InvokeFunction operation")
    if not body:
        return b"{}"
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid_request_content(
            f"Could not parse request body into json: Could not parse payload into json: {error}"
        ) from None
    return body


def read_client_context(header: str | None) -> str | None:
    """The client context as JSON text. Raises `ApiError` 400."""
    if not header:
        return None
    if len(header) > CLIENT_CONTEXT_MAX:
        raise invalid_parameter(f"Client context must be at most {CLIENT_CONTEXT_MAX} bytes long.")
    try:
        text = base64.b64decode(header, validate=True).decode()
        orjson.loads(text)
    except (binascii.Error, UnicodeDecodeError, orjson.JSONDecodeError):
        raise invalid_request_content("Client context must be a valid Base64-encoded JSON object.") from None
    return text
