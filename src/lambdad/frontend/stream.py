"""InvokeWithResponseStream: HTTP in, a ticket for placement, an event stream out.

A function that streams is passed on piece by piece; one that answers at once is a stream of one chunk. Errors before
the first byte have their HTTP status; later ones are in the last message.
Source: InvokeWithResponseStream, AWS Lambda API reference; reference/aws-lambda.md 2.4.
"""

from __future__ import annotations

import random
from urllib.parse import unquote

import orjson

from lambdad.frontend.invoke import (
    Call,
    ErrorWriter,
    Observer,
    Resolver,
    Runner,
    Target,
    read_client_context,
    read_payload,
    read_qualifier,
)
from lambdad.frontend.streamed_body import StreamedBody
from lambdad.frontend.trace import new_trace_id
from lambdad.model.arn import Namespace
from lambdad.model.clock import Clock
from lambdad.model.errors import ApiError, validation
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import PAYLOAD_SYNC_MAX
from lambdad.placement.service import Ticket
from lambdad.wire.eventstream import encode_exception, encode_invoke_complete, encode_payload_chunks
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder
from lambdad.worker.interface import Credit

_TYPES = ("RequestResponse", "DryRun")
_EVENT_STREAM = ("Content-Type", "application/vnd.amazon.eventstream")


class StreamFrontend:
    """Answers InvokeWithResponseStream."""

    def __init__(
        self, resolver: Resolver, runner: Runner, observer: Observer, write_error: ErrorWriter, clock: Clock
    ) -> None:
        self._resolver = resolver
        self._runner = runner
        self._observer = observer
        self._write_error = write_error
        self._clock = clock

    def invoke(self, request: Request, namespace: Namespace, label: str, request_id: str, responder: Responder) -> None:
        """Answer one request. label: the function name as it stands in the path, percent-encoded."""
        call = Call(namespace, request_id, unquote(label), read_qualifier(request.query))
        try:
            self._dispatch(request, call, responder)
        except ApiError as error:
            self._reject(call, error, responder)

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
        invocation = Invocation(
            request_id=call.request_id,
            payload=read_payload(request, PAYLOAD_SYNC_MAX),
            invoked_arn=target.invoked_arn,
            client_context=read_client_context(headers.get("x-amz-client-context")),
            trace_id=headers.get("x-amzn-trace-id") or new_trace_id(self._clock.time()),
            tail=headers.get("x-amz-log-type") == "Tail",
            streaming=True,
        )
        stream = _EventStream(target, invocation, responder)

        def done(ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
            if isinstance(outcome, ApiError):
                if stream.is_open:
                    self._observer.rejected(call.namespace, call.name, outcome)
                    stream.break_off(outcome)
                else:
                    self._reject(call, outcome, responder)
                return
            stream.complete(outcome)
            timings = ticket.timings
            timings.update(outcome.timings)
            timings["total"] = (self._clock.monotonic() - ticket.arrived) * 1000
            self._observer.invoked(ticket.spec, outcome, timings)

        now = self._clock.monotonic()
        self._runner.submit(Ticket(target.spec, invocation, target.reserved_concurrency, now, done, stream))

    def _reject(self, call: Call, error: ApiError, responder: Responder) -> None:
        self._observer.rejected(call.namespace, call.name, error)
        responder.send(self._write_error(error, call.request_id))


class _EventStream:
    """One response. Implements `StreamSink`."""

    def __init__(self, target: Target, invocation: Invocation, responder: Responder) -> None:
        self._invocation = invocation
        self._responder = responder
        self._headers = [
            _EVENT_STREAM,
            ("x-amzn-RequestId", invocation.request_id),
            ("X-Amz-Executed-Version", target.executed_version),
            ("X-Amzn-Trace-Id", invocation.trace_id),
        ]
        self._body: StreamedBody | None = None

    @property
    def is_open(self) -> bool:
        """Whether the head of the response has been sent."""
        return self._body is not None

    def opened(self, content_type: str, credit: Credit) -> None:
        self._body = StreamedBody(credit)
        self._responder.send(Response(200, self._headers, stream=self._body))

    def piece(self, data: bytes) -> None:
        if self._body is not None:
            self._body.push(b"".join(encode_payload_chunks(data)), len(data))

    def complete(self, result: InvocationResult) -> None:
        """The function has finished, well or not."""
        tail = result.log_tail if self._invocation.tail else None
        if result.error is None:
            chunks, last = encode_payload_chunks(result.payload), encode_invoke_complete(log_tail=tail)
        else:
            details = result.payload.decode("utf-8", "replace")
            chunks, last = iter(()), encode_invoke_complete(_error_code(result), details, tail)
        whole = b"".join((*chunks, last))
        if self._body is None:
            self._responder.send(Response(200, self._headers, whole))
        else:
            self._body.end(whole)

    def break_off(self, error: ApiError) -> None:
        """The platform failed in the middle of the response."""
        assert self._body is not None
        self._body.end(encode_exception(error.code, error.message))


def _error_code(result: InvocationResult) -> str:
    """The kind of a function's error, in its own words if it has any."""
    try:
        document = orjson.loads(result.payload)
    except orjson.JSONDecodeError:
        document = None
    named = document.get("errorType") if isinstance(document, dict) else None
    return named if isinstance(named, str) and named else result.error_type or "Unhandled"
