"""The collector by request: the plan, its execution, and one at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from lambdad.model.arn import Namespace
from lambdad.node.image_gc import ImageCollection
from lambdad.node.image_page import PATH, ImagePage
from lambdad.telemetry.log import silent
from lambdad.testing.chunk_doubles import MemoryObjects, StepClock
from lambdad.wire.http import Request, Response

HERE = Namespace("000000000000", "eu-central-1")
LOG = silent()


class Responder:
    def __init__(self) -> None:
        self.response: Response | None = None

    def send(self, response: Response) -> None:
        self.response = response


class World:
    """A page whose work is done when the test says so."""

    def __init__(self) -> None:
        self.objects = MemoryObjects()
        collection = ImageCollection(self.objects, "this", lambda: iter(()), StepClock(1000.0), LOG)
        self.work: list[Coroutine[Any, Any, None]] = []
        self.page = ImagePage(collection, self.work.append, LOG)

    def ask(self, method: str) -> Responder:
        responder = Responder()
        self.page(Request(method, PATH, "", {}, b""), HERE, responder)  # type: ignore[arg-type]
        return responder

    def finish(self) -> None:
        while self.work:
            asyncio.run(self.work.pop())


def told(responder: Responder) -> tuple[int, dict[str, Any]]:
    assert responder.response is not None
    return responder.response.status, json.loads(responder.response.body)


def test_the_plan_and_its_execution() -> None:
    world = World()
    world.objects.contents["roots/r00000000001"] = b'{"version": 1, "state": "expired", "since": 1.0}'
    world.objects.contents["alarms/r00000000001"] = b"{}"
    planned = world.ask("GET")
    world.finish()
    status, document = told(planned)
    assert (status, document["executed"]) == (200, False)
    assert [step.split(":")[0] for step in document["steps"]] == [
        "create root r00000001000; new uploads go there",
        "leave r00000000001",
    ]
    assert "roots/r00000001000" not in world.objects.contents
    done = world.ask("POST")
    world.finish()
    status, document = told(done)
    assert (status, document["executed"], document["deleted_objects"]) == (200, True, 0)
    assert "roots/r00000001000" in world.objects.contents


def test_who_asks_while_somebody_collects_is_told_to_wait() -> None:
    world = World()
    first, second = world.ask("POST"), world.ask("GET")
    assert told(second)[0] == 409
    world.finish()
    assert told(first) == (
        200,
        {"steps": [], "executed": True, "copied_chunks": 0, "copied": 0, "deleted_objects": 0},
    )
    third = world.ask("GET")
    world.finish()
    assert told(third)[0] == 200


def test_a_store_of_another_node_and_a_store_that_is_away_are_said() -> None:
    world = World()
    world.objects.contents |= {"roots/r00000000001": b'{"version": 1, "state": "active", "since": 1.0}', "owner": b"x"}
    asked = world.ask("POST")
    world.finish()
    assert told(asked)[0] == 503
    assert "another node" in told(asked)[1]["message"]

    def away(operation: str, path: str) -> None:
        raise OSError("the disk is gone")

    world.objects.before = away
    asked = world.ask("GET")
    world.finish()
    assert told(asked) == (503, {"message": "the disk is gone"})


def test_other_methods_are_refused() -> None:
    assert told(World().ask("DELETE"))[0] == 405
