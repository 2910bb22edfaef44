"""The handler of the lane of deliveries: records and dead letters to their targets, tried again, never lost silently.

A target that is a function of ours gets its event in the transaction that settles the delivery, once. All others are
reached by a `Sender` in a thread; they may see a delivery twice if we die between the two, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from lambdad.events.event import Event, child_id, encode_event
from lambdad.events.records import Delivery, decode_delivery
from lambdad.events.verdict import Done, GivenUp, Later, Settle, Verdict
from lambdad.model.arn import Namespace, parse_function_reference
from lambdad.model.clock import Clock
from lambdad.model.destination import DEAD_LETTER_SERVICES, Destination, Service, parse_destination
from lambdad.model.errors import ApiError
from lambdad.model.limits import PAYLOAD_ASYNC_MAX
from lambdad.store.event_queue import Death, Message, Retry
from lambdad.telemetry.log import Logger

SEND_S = 30.0
"""What a sender may take; each has timeouts of its own that are shorter."""
DELAYS_S = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Before the second, third, ... attempt; after the last the delivery is dead."""
DELIVERY_FAILED = "DeliveryFailed"

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class DeliveryError(Exception):
    """The target did not take the delivery; the text says why."""


class Sender(Protocol):
    """Brings deliveries to targets of some services. Called in threads."""

    def send(self, delivery: Delivery, destination: Destination) -> None:
        """Raises DeliveryError."""
        ...


class Functions(Protocol):
    """Whether a function can take events. Raises `ApiError` if there is no such thing."""

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> object: ...


class Observer(Protocol):
    def delivered(self, function: str, kind: str) -> None: ...

    def delivery_failed(self, function: str, kind: str) -> None:
        """A delivery was given up. kind: on-success, on-failure or dead-letter."""
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """Who sends what. A service without a sender cannot be delivered to."""

    senders: Mapping[Service, Sender]
    threads: Executor


class Deliverer:
    """Delivers. A `verdict.Handler`."""

    def __init__(
        self,
        ways: Ways,
        functions: Functions,
        observer: Observer,
        clock: Clock,
        spawn: Spawn,
        log: Logger,
        delays: tuple[float, ...] = DELAYS_S,
    ) -> None:
        self._ways = ways
        self._functions = functions
        self._observer = observer
        self._clock = clock
        self._spawn = spawn
        self._log = log
        self._delays = delays

    def attempt_s(self, scope: str) -> float:
        return SEND_S

    def start(self, message: Message, settle: Settle) -> None:
        self._spawn(self._deliver(message, settle))

    async def _deliver(self, message: Message, settle: Settle) -> None:
        delivery = decode_delivery(message)
        try:
            follow = await self._send(delivery)
        except DeliveryError as error:
            settle(self._failed(message, delivery, str(error)))
        except Exception as error:  # a fault of ours or of a library: the delivery must not hang for it
            self._log.exception("queue.failed", error, lane="delivery", id=message.id)
            settle(self._failed(message, delivery, f"{type(error).__name__}: {error}"))
        else:
            self._observer.delivered(delivery.function, delivery.kind)
            settle(Done(follow))

    async def _send(self, delivery: Delivery) -> list[Message]:
        destination = parse_destination(delivery.target)
        if destination is None or (delivery.kind == "dead-letter" and destination.service not in DEAD_LETTER_SERVICES):
            raise DeliveryError(f"nothing can be delivered to {delivery.target}")
        if destination.service == "lambda":
            return [self._as_event(delivery)]
        sender = self._ways.senders.get(destination.service)
        if sender is None:
            raise DeliveryError(f"this node delivers nothing to {destination.service}")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._ways.threads, sender.send, delivery, destination)
        return []

    def _as_event(self, delivery: Delivery) -> Message:
        if len(delivery.body) > PAYLOAD_ASYNC_MAX:
            raise DeliveryError(
                f"the record has {len(delivery.body)} bytes, and an event may have {PAYLOAD_ASYNC_MAX}: "
                "let the function answer less, or use another kind of destination"
            )
        reference = parse_function_reference(delivery.target)
        assert reference is not None
        try:
            self._functions.resolve(delivery.namespace, delivery.target, None, 0.0)
        except ApiError as error:
            if error.status != 409:  # Pending: it will be there
                raise DeliveryError(error.message) from error
        event = Event(
            namespace=delivery.namespace,
            function=reference.name,
            qualifier=reference.qualifier,
            request_id=child_id(delivery.id),
            trace_id=delivery.trace_id,
            payload=delivery.body,
            accepted=self._clock.time(),
        )
        return encode_event(event)

    def _failed(self, message: Message, delivery: Delivery, why: str) -> Verdict:
        now, attempts = self._clock.time(), message.attempts + 1
        is_last = attempts > len(self._delays)
        self._log.warning(
            "queue.delivery_failed",
            request_id=delivery.request_id,
            kind=delivery.kind,
            target=delivery.target,
            attempt=attempts,
            given_up=is_last,
            error=why,
        )
        if is_last:
            self._observer.delivery_failed(delivery.function, delivery.kind)
            return GivenUp(Death(now=now, reason=DELIVERY_FAILED, attempts=attempts, last=_told(why)))
        retry = Retry(due=now + self._delays[attempts - 1], attempts=attempts, last=_told(why))
        return Later(retry, refused=True)


def _told(why: str) -> bytes:
    return orjson.dumps({"error": why[:2000]})
