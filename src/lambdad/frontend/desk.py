"""Where every call of a function is taken in: what the forms of Invoke need of the node, and how they all begin.

A form decides what its answer looks like; finding the function, refusing and observing are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lambdad.frontend.interface import ErrorWriter, Observer, Resolver, Runner
from lambdad.frontend.opening import Call, Opening, open_dispatch
from lambdad.frontend.pace import Pace
from lambdad.model.clock import Clock
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder
from lambdad.worker.interface import StreamSink

Done = Callable[[Ticket, InvocationResult | ApiError], None]
GoOn = Callable[[Request, Call, Opening, Responder], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The node, as far as calls are concerned. write_error: an error in the form of the Lambda API. pace: of streamed
    responses, None for none.
    """

    resolver: Resolver
    runner: Runner
    observer: Observer
    write_error: ErrorWriter
    clock: Clock
    pace: Pace | None = None

    def take(self, call: Call, request: Request, responder: Responder, kinds: tuple[str, ...], go_on: GoOn) -> None:
        """Open a call and go on with it, or answer why not; a dry run is answered here.

        kinds: the invocation types of the operation. go_on: may raise `ApiError`.
        """
        try:
            opening = open_dispatch(self.resolver, request, call, kinds)
            if isinstance(opening, Response):
                responder.send(opening)
            else:
                go_on(request, call, opening, responder)
        except ApiError as error:
            self.refuse(call, error, responder)

    def run(self, target: Target, invocation: Invocation, done: Done, sink: StreamSink | None = None) -> None:
        """Have it run; `done` is called once. Raises `ApiError` if it is throttled."""
        self.runner.submit(Ticket(target, invocation, self.clock.monotonic(), done, sink))

    def observe(self, ticket: Ticket, result: InvocationResult) -> None:
        """Count an invocation that has ended."""
        self.observer.invoked(ticket.spec, result, ticket.finish(result, self.clock.monotonic()))

    def refuse(self, call: Call, error: ApiError, responder: Responder) -> None:
        """Count and answer a call that could not run."""
        self.observer.rejected(call.namespace, call.name, error)
        responder.send(self.write_error(error, call.request_id))
