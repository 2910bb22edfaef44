"""The queue's pages over a service whose lanes stand still."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from lambdad.events.service import EventService
from lambdad.model.arn import Namespace
from lambdad.node.queue_page import QueuePage
from lambdad.store.event_queue import Death
from lambdad.telemetry.log import silent
from lambdad.testing.conformance.event_queue import NOW, make_message
from lambdad.testing.event_doubles import DirectQueue, RecordingObserver, VirtualClock
from lambdad.wire.http import Request, Response

MINE = "000000000000/us-east-1/"


class World:
    def __init__(self) -> None:
        self.queue = DirectQueue()
        table = self.queue.table
        names = ("f:", "f:v", "f:v2", "g:")
        table.put([make_message(f"m-{name}", MINE + name, payload=b'{"x":1}') for name in names], NOW)
        table.put([make_message("theirs", "111111111111/us-east-1/f:")], NOW)
        for scope in (f"{MINE}g:", "111111111111/us-east-1/f:"):
            [found] = table.lease("event", scope, NOW, NOW + 1, 1).leases
            table.kill(found.key, Death(now=NOW, reason="RetriesExhausted", attempts=3, last=b'"why"'))
        self.responses: list[Response] = []

    def send(self, response: Response) -> None:
        self.responses.append(response)

    def ask(self, path: str, method: str = "GET") -> tuple[int, Any]:
        async def run() -> None:
            spawned: list[Coroutine[Any, Any, None]] = []
            service = EventService(self.queue, {}, RecordingObserver(), VirtualClock(), silent())
            where, _, query = path.partition("?")
            request = Request(method, f"/_lambdad/queue{where}", query, {}, b"")
            QueuePage(service, spawned.append, silent())(request, Namespace("000000000000", "us-east-1"), self)
            for coroutine in spawned:
                await coroutine

        asyncio.run(run())
        response = self.responses.pop()
        return response.status, json.loads(response.body)

    def listed(self, query: str = "") -> list[str]:
        status, page = self.ask(f"/messages?{query}")
        assert status == 200
        return sorted(message["id"] for message in page["messages"])


def test_counts_are_those_of_the_caller() -> None:
    status, page = World().ask("")
    assert status == 200
    assert page["event"] == {"waiting": 3, "leased": 0, "size": 21, "dead": 1, "dead_size": 7}
    assert page["delivery"]["waiting"] == 0


def test_a_caller_sees_what_is_its_own() -> None:
    world = World()
    assert world.listed() == ["m-f:", "m-f:v", "m-f:v2"]
    assert world.listed("state=dead") == ["m-g:"]
    assert world.ask("/messages/theirs")[0] == 404


def test_a_function_is_chosen_with_all_qualifiers_or_one() -> None:
    world = World()
    assert world.listed("function=f") == ["m-f:", "m-f:v", "m-f:v2"]
    assert world.listed("function=f:v") == ["m-f:v"]
    assert world.listed("lane=delivery") == []
    assert world.listed("id=m-f:v2&limit=5") == ["m-f:v2"]


def test_a_message_is_shown_with_its_payload_and_its_end() -> None:
    status, page = World().ask("/messages/m-g%3A")
    assert status == 200
    assert (page["target"], page["state"], page["reason"]) == ("g", "dead", "RetriesExhausted")
    assert (page["payload"], page["last"], page["attempts"]) == ('{"x":1}', '"why"', 3)


def test_the_dead_are_redriven_and_messages_purged() -> None:
    world = World()
    assert world.ask("/redrive?function=g", "POST") == (200, {"redriven": 1})
    assert world.listed("state=dead") == []
    assert world.ask("/purge?function=f:v", "POST") == (200, {"purged": 1})
    assert world.listed() == ["m-f:", "m-f:v2", "m-g:"]
    assert world.ask("/purge?state=dead", "POST") == (200, {"purged": 0})
    assert world.queue.table.usage("event").dead == 1


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/messages?limit=0", "GET", 400),
        ("/messages?limit=x", "GET", 400),
        ("/messages?state=odd", "GET", 400),
        ("/messages?lane=odd", "GET", 400),
        ("/messages?function=a/b", "GET", 400),
        ("/redrive", "GET", 404),
        ("/elsewhere", "POST", 404),
    ],
)
def test_what_is_asked_wrongly_is_told(path: str, method: str, status: int) -> None:
    found, page = World().ask(path, method)
    assert (found, list(page)) == (status, ["message"])
