"""The synchronous Invoke: HTTP in, a ticket for placement, HTTP out.

This is the warm path, and it awaits nothing.
Source: Invoke, AWS Lambda API reference; texts and headers as in reference/aws-lambda.md 2.1-2.3.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson

from lambdad.frontend.desk import Desk
from lambdad.frontend.interface import Acceptor
from lambdad.frontend.opening import Call, Opening, identify_call, read_invocation
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import PAYLOAD_ASYNC_MAX, PAYLOAD_SYNC_MAX
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

_TYPES = ("Event", "RequestResponse", "DryRun")
_JSON = ("Content-Type", "application/json")
_REMAPPED = ("x-amzn-Remapped-Content-Length", "0")


class InvokeFrontend:
    """Answers Invoke. acceptor: takes events for later; None on a node without a queue."""

    def __init__(self, desk: Desk, acceptor: Acceptor | None = None) -> None:
        self._desk = desk
        self._acceptor = acceptor

    def invoke(self, request: Request, namespace: Namespace, label: str, request_id: str, responder: Responder) -> None:
        """Answer one request. label: the function name as it stands in the path, percent-encoded."""
        call = identify_call(request, namespace, label, request_id)
        self._desk.take(call, request, responder, _TYPES, self._go_on)

    def _go_on(self, request: Request, call: Call, opening: Opening, responder: Responder) -> None:
        is_event = opening.kind == "Event"
        payload_max = PAYLOAD_ASYNC_MAX if is_event else PAYLOAD_SYNC_MAX
        now = self._desk.clock.time()
        invocation = read_invocation(request, call, opening, payload_max=payload_max, now=now, streaming=False)
        if is_event:
            self._accept(opening.target, invocation, call, responder)
        else:
            self._run(opening.target, invocation, call, responder)

    def _run(self, target: Target, invocation: Invocation, call: Call, responder: Responder) -> None:
        desk = self._desk

        def done(ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
            if isinstance(outcome, ApiError):
                desk.refuse(call, outcome, responder)
                return
            timings = ticket.finish(outcome, desk.clock.monotonic())
            responder.send(_response(target, invocation, outcome, timings))  # first: a caller waits for it
            desk.observer.invoked(ticket.spec, outcome, timings)

        desk.run(target, invocation, done)

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
                responder.send(self._desk.write_error(error, call.request_id))

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
