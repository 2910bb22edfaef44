"""InvokeWithResponseStream: HTTP in, a ticket for placement, an event stream out.

A function that streams is passed on piece by piece; one that answers at once is a stream of one chunk. Errors before
the first byte have their HTTP status; later ones are in the last message.
Source: InvokeWithResponseStream, AWS Lambda API reference; reference/aws-lambda.md 2.4.
"""

from __future__ import annotations

import orjson

from lambdad.frontend.desk import Desk
from lambdad.frontend.opening import Call, Opening, identify_call, read_invocation
from lambdad.frontend.pace import Pace
from lambdad.frontend.streamed_body import StreamedBody
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import PAYLOAD_SYNC_MAX
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.wire.eventstream import encode_exception, encode_invoke_complete, encode_payload_chunks
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder
from lambdad.worker.interface import Credit

_TYPES = ("RequestResponse", "DryRun")
_EVENT_STREAM = ("Content-Type", "application/vnd.amazon.eventstream")


class StreamFrontend:
    """Answers InvokeWithResponseStream."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def invoke(self, request: Request, namespace: Namespace, label: str, request_id: str, responder: Responder) -> None:
        """Answer one request. label: the function name as it stands in the path, percent-encoded."""
        call = identify_call(request, namespace, label, request_id)
        self._desk.take(call, request, responder, _TYPES, self._go_on)

    def _go_on(self, request: Request, call: Call, opening: Opening, responder: Responder) -> None:
        desk, target = self._desk, opening.target
        invocation = read_invocation(
            request, call, opening, payload_max=PAYLOAD_SYNC_MAX, now=desk.clock.time(), streaming=True
        )
        stream = _EventStream(target, invocation, responder, desk.pace)

        def done(ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
            if isinstance(outcome, InvocationResult):
                stream.complete(outcome)
                desk.observe(ticket, outcome)
            elif stream.is_open:
                desk.observer.rejected(call.namespace, call.name, outcome)
                stream.break_off(outcome)
            else:
                desk.refuse(call, outcome, responder)

        desk.run(target, invocation, done, stream)


class _EventStream:
    """One response. Implements `StreamSink`."""

    def __init__(self, target: Target, invocation: Invocation, responder: Responder, pace: Pace | None) -> None:
        self._invocation = invocation
        self._pace = pace
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
        self._body = StreamedBody(credit, self._pace)
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
