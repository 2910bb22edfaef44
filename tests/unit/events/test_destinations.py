"""Deliveries: sent, tried again, given up; to functions of ours in the same transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from lambdad.events.destinations import Deliverer, DeliveryError, Ways
from lambdad.events.event import Event, decode_event
from lambdad.events.records import Delivery, DeliveryKind, delivery, encode_delivery
from lambdad.events.verdict import Done, GivenUp, Later, Verdict
from lambdad.model.destination import Destination
from lambdad.model.limits import PAYLOAD_ASYNC_MAX
from lambdad.telemetry.log import silent
from lambdad.testing.event_doubles import FakeFunctions, RecordingObserver, VirtualClock
from lambdad.testing.specs import HERE

EVENT = Event(namespace=HERE, function="f", qualifier=None, request_id="r", trace_id="t", payload=b"{}", accepted=0.0)
QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:"


class World:
    """error: what the sender raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.sent: list[tuple[Delivery, Destination]] = []
        self.observer = RecordingObserver()
        self.clock = VirtualClock()

    def send(self, delivery: Delivery, destination: Destination) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((delivery, destination))

    def deliver(
        self, target: str, kind: DeliveryKind = "on-success", attempts: int = 0, body: bytes = b"body"
    ) -> Verdict:
        verdicts: list[Verdict] = []

        async def run() -> None:
            spawned: list[Coroutine[Any, Any, None]] = []
            with ThreadPoolExecutor(1) as threads:
                ways = Ways({"sqs": self}, threads)
                deliverer = Deliverer(
                    ways, FakeFunctions(), self.observer, self.clock, spawned.append, silent(), (1.0, 5.0)
                )
                message = encode_delivery(delivery(kind, target, EVENT, body, 1.0))
                deliverer.start(replace(message, attempts=attempts), verdicts.append)
                assert deliverer.attempt_s(message.scope) > 0
                for coroutine in spawned:
                    await coroutine

        asyncio.run(run())
        [verdict] = verdicts
        return verdict


def test_what_was_sent_is_done() -> None:
    world = World()
    assert world.deliver(QUEUE) == Done([])
    [(sent, destination)] = world.sent
    assert (sent.body, destination.resource) == (b"body", "q")
    assert world.observer.heard == [("delivered", "f", "on-success")]


@pytest.mark.parametrize("error", [DeliveryError("refused"), RuntimeError("a bug")])
def test_what_was_not_taken_is_sent_again_later_and_given_up_in_the_end(error: Exception) -> None:
    world = World(error)
    for attempts, delay in ((0, 1.0), (1, 5.0)):
        verdict = world.deliver(QUEUE, attempts=attempts)
        assert isinstance(verdict, Later)
        assert (verdict.retry.due, verdict.retry.attempts) == (world.clock.now + delay, attempts + 1)
    last = world.deliver(QUEUE, "dead-letter", attempts=2)
    assert isinstance(last, GivenUp)
    assert last.death.reason == "DeliveryFailed"
    assert str(error).encode() in last.death.last
    assert world.observer.heard == [("delivery failed", "f", "dead-letter")]


def test_a_function_gets_its_event_where_the_delivery_ends() -> None:
    world = World()
    verdict = world.deliver(FUNCTION + "f:live")
    assert isinstance(verdict, Done)
    [message] = verdict.follow
    event = decode_event(message)
    assert (event.function, event.qualifier, event.payload) == ("f", "live", b"body")
    assert world.deliver(FUNCTION + "f:live") == verdict


def test_a_record_that_is_too_large_for_an_event_is_a_failed_delivery_that_says_so() -> None:
    assert isinstance(World().deliver(FUNCTION + "f", body=bytes(PAYLOAD_ASYNC_MAX)), Done)
    last = World().deliver(FUNCTION + "f", attempts=2, body=bytes(PAYLOAD_ASYNC_MAX + 1))
    assert isinstance(last, GivenUp)
    assert b"1048577 bytes" in last.death.last


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (FUNCTION + "nobody", "on-success"),
        ("arn:aws:sns:us-east-1:000000000000:t", "on-success"),
        ("nonsense", "on-success"),
        ("arn:aws:lambdad:::file/x", "dead-letter"),
    ],
)
def test_what_cannot_be_reached_is_a_failed_delivery(target: str, kind: DeliveryKind) -> None:
    assert isinstance(World().deliver(target, kind), Later)
