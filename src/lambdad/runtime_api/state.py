"""The runtime's side of the conversation, as a table.

Rule: what a runtime may call, and when, is decided here and nowhere else. A call that is not in the table is refused
with 403 and changes nothing.

Theory of operation. A runtime process starts in STARTED. Its first `next` ends the init phase and makes it READY;
`init/error` instead makes it FAILED. The platform hands over an invocation (`delivered`), and it is RUNNING until it
posts a response or an error for that invocation's id. Then it has ANSWERED, and its following `next` makes it READY
again. A response that it streams makes it RESPONDING first, until the last byte (`finish`). A READY runtime may repeat
`next`: it lost its connection.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    STARTED = "Started"
    READY = "Ready"
    RUNNING = "Running"
    RESPONDING = "ResponseStreaming"
    ANSWERED = "ResponseSent"
    FAILED = "InitError"


class Call(Enum):
    NEXT = "Ready"
    RESPONSE = "InvocationResponse"
    STREAM = "InvocationStreamingResponse"
    ERROR = "InvocationErrorResponse"
    INIT_ERROR = "InitError"


TRANSITIONS: dict[tuple[State, Call], State] = {
    (State.STARTED, Call.NEXT): State.READY,
    (State.STARTED, Call.INIT_ERROR): State.FAILED,
    (State.READY, Call.NEXT): State.READY,
    (State.RUNNING, Call.RESPONSE): State.ANSWERED,
    (State.RUNNING, Call.ERROR): State.ANSWERED,
    (State.RUNNING, Call.STREAM): State.RESPONDING,
    (State.ANSWERED, Call.NEXT): State.READY,
}


class IllegalTransition(Exception):
    """The runtime called what it may not call now."""

    def __init__(self, state: State, call: Call) -> None:
        super().__init__(
            f"State transition from {state.value} to {call.value} failed for runtime. "
            "Error: State transition is not allowed"
        )


class UnknownRequest(Exception):
    """The runtime answered an invocation that it does not have."""


class RuntimeState:
    """The state of one runtime process. `request_id` is the invocation that it has, or had last."""

    __slots__ = ("request_id", "state")

    def __init__(self) -> None:
        self.state = State.STARTED
        self.request_id: str | None = None

    def call(self, call: Call, request_id: str | None = None) -> None:
        """Take a call of the runtime, or raise and change nothing. `request_id` belongs to answers."""
        if call in _ANSWERS and (request_id != self.request_id or self.request_id is None):
            raise UnknownRequest(request_id)
        following = TRANSITIONS.get((self.state, call))
        if following is None:
            raise IllegalTransition(self.state, call)
        self.state = following

    def deliver(self, request_id: str) -> None:
        """Hand an invocation to a READY runtime."""
        assert self.state is State.READY, self.state
        self.state = State.RUNNING
        self.request_id = request_id

    def finish(self) -> None:
        """The last byte of a streamed response has come."""
        assert self.state is State.RESPONDING, self.state
        self.state = State.ANSWERED


_ANSWERS = frozenset({Call.RESPONSE, Call.STREAM, Call.ERROR})
