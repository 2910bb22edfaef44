"""An event that waits for its function, and its form in the queue."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import orjson

from lambdad.events.policy import Progress
from lambdad.model.arn import LATEST, Namespace, function_arn
from lambdad.store.event_queue import Message

_CHILDREN = uuid.UUID("5f0b8f0e-3c36-4a0b-9a58-9d1a3c0a6d5c")
"""Name space of the request ids that destinations give: the same delivery always makes the same event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """qualifier: as the caller named it, None for none; it is resolved again at every attempt. payload: JSON.

    accepted: epoch seconds.
    """

    namespace: Namespace
    function: str
    qualifier: str | None
    request_id: str
    trace_id: str
    payload: bytes
    accepted: float

    @property
    def arn(self) -> str:
        """Always qualified, as records have it."""
        return function_arn(self.namespace, self.function, self.qualifier or LATEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAttempt:
    """What the last attempt brought, as records tell it.

    function_error: None if it succeeded, or did not run. executed_version: None if it did not run.
    error_code, error_message: for dead letters.
    """

    status: int
    executed_version: str | None = None
    function_error: str | None = None
    payload: str | None = None
    error_message: str = ""


def scope_of(namespace: Namespace, function: str, qualifier: str | None) -> str:
    return f"{namespace.account}/{namespace.region}/{function}:{qualifier or ''}"


def parse_scope(scope: str) -> tuple[Namespace, str, str | None]:
    account, region, rest = scope.split("/", 2)
    function, _, qualifier = rest.partition(":")
    return Namespace(account, region), function, qualifier or None


def encode_event(event: Event) -> Message:
    return Message(
        lane="event",
        id=event.request_id,
        scope=scope_of(event.namespace, event.function, event.qualifier),
        meta=orjson.dumps({"trace_id": event.trace_id}).decode(),
        payload=event.payload,
        accepted=event.accepted,
    )


def decode_event(message: Message) -> Event:
    namespace, function, qualifier = parse_scope(message.scope)
    return Event(
        namespace=namespace,
        function=function,
        qualifier=qualifier,
        request_id=message.id,
        trace_id=orjson.loads(message.meta)["trace_id"],
        payload=message.payload,
        accepted=message.accepted,
    )


def progress_of(message: Message) -> Progress:
    return Progress(accepted=message.accepted, attempts=message.attempts, refusals=message.refusals)


def encode_last(last: LastAttempt | None) -> bytes:
    return b"" if last is None else orjson.dumps(last)


def decode_last(text: bytes) -> LastAttempt | None:
    return LastAttempt(**orjson.loads(text)) if text else None


def child_id(delivery_id: str) -> str:
    """The request id of the event that a delivery to a function becomes."""
    return str(uuid.uuid5(_CHILDREN, delivery_id))
