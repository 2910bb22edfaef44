"""Which request goes where."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdad.identity.gate import Audience
from lambdad.model.arn import Namespace
from lambdad.model.errors import not_found
from lambdad.neighbours.service import Neighbours
from lambdad.node.gate import GateOfNeighbours
from lambdad.node.http_app import HttpApp, in_words
from lambdad.store.metadata import SqliteStore
from lambdad.telemetry.log import silent
from lambdad.telemetry.log_groups import LogGroups
from lambdad.telemetry.log_store import LogStore
from lambdad.testing.gates import open_gate
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder
from lambdad.wire.service import load_service


class Frontend:
    def __init__(self) -> None:
        self.calls: list[tuple[Namespace, str]] = []

    def invoke(self, request: Request, namespace: Namespace, label: str, request_id: str, responder: Responder) -> None:
        self.calls.append((namespace, label))
        responder.send(Response(200))


class Answer:
    gone = False

    def __init__(self) -> None:
        self.response = Response(0)

    def send(self, response: Response) -> None:
        self.response = response


class World:
    def __init__(self) -> None:
        self.frontend = Frontend()
        self.streams = Frontend()
        self.parameters: list[Mapping[str, Any]] = []
        self.urls: list[str] = []
        gate = open_gate()
        nowhere = Path("/nonexistent")
        logs = LogGroups(LogStore(nowhere), LogStore(nowhere), nowhere)
        self.app = HttpApp(
            load_service(),
            self.frontend,  # type: ignore[arg-type]
            self.streams,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            {"GetFunction": self.get_function, "ListFunctions": self.fail},
            {"/metrics": (Audience.MACHINE, self.page), "/_lambdad/code/": (Audience.EVERYBODY, self.page)},
            gate=gate,
            neighbours=Neighbours(
                logs, SqliteStore(nowhere), GateOfNeighbours(gate), self.spawn, silent(), lambda: 1.0
            ),
            spawn=self.spawn,
            log=silent(),
        )

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run(coroutine)

    async def get_function(
        self, request: Request, namespace: Namespace, request_id: str, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        self.parameters.append(parameters)
        if parameters["FunctionName"] == "nobody":
            raise not_found("Function not found: nobody")
        return {"Configuration": {"FunctionName": parameters["FunctionName"]}}

    async def fail(
        self, request: Request, namespace: Namespace, request_id: str, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        raise ZeroDivisionError

    def page(self, request: Request, here: Namespace, responder: Responder) -> None:
        responder.send(Response(200, [], b"page"))

    def serve_host(self, request: Request, request_id: str, responder: Responder) -> None:
        self.urls.append(f"host {request.headers['host']} {request.path}")
        responder.send(Response(200))

    def serve_path(self, request: Request, request_id: str, responder: Responder) -> None:
        self.urls.append(f"path {request.path}")
        responder.send(Response(200))

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        answer = Answer()
        path, _, query = path.partition("?")
        self.app.handle(Request(method, path, query, headers or {}, body), answer)
        return answer.response


def test_invokes_go_to_the_frontend_with_the_raw_label() -> None:
    world = World()
    world.ask("POST", "/2015-03-31/functions/arn%3Aaws/invocations")
    assert world.frontend.calls == [(Namespace("000000000000", "us-east-1"), "arn%3Aaws")]


def test_streaming_invokes_go_to_their_own_frontend() -> None:
    world = World()
    world.ask("POST", "/2021-11-15/functions/f/response-streaming-invocations")
    assert world.streams.calls == [(Namespace("000000000000", "us-east-1"), "f")]
    assert world.frontend.calls == []


def test_function_urls_are_known_by_host_and_by_path() -> None:
    world = World()
    host = {"host": "abc.lambda-url.us-east-1.localhost:9000"}
    world.ask("POST", "/2015-03-31/functions/f/invocations", headers=host)
    world.ask("GET", "/_url/abc/x")
    assert world.urls == [
        "host abc.lambda-url.us-east-1.localhost:9000 /2015-03-31/functions/f/invocations",
        "path /_url/abc/x",
    ]
    assert world.frontend.calls == []


def test_operations_get_parsed_parameters_and_their_output_is_serialised() -> None:
    response = World().ask("GET", "/2015-03-31/functions/f")
    assert json.loads(response.body) == {"Configuration": {"FunctionName": "f"}}


def test_errors_have_aws_envelope() -> None:
    response = World().ask("GET", "/2015-03-31/functions/nobody")
    assert response.status == 404
    assert json.loads(response.body) == {"Type": "User", "Message": "Function not found: nobody"}


def test_constraints_are_checked_before_the_operation_runs() -> None:
    world = World()
    response = world.ask("GET", "/2015-03-31/functions/bad%20name")
    assert response.status == 400
    assert b"1 validation error detected" in response.body
    assert world.parameters == []


def test_an_operation_that_is_not_built_is_named() -> None:
    response = World().ask("GET", "/2016-08-19/account-settings")
    assert response.status == 400
    assert b"GetAccountSettings is not supported by lambdad yet" in response.body


def test_an_error_of_ours_is_a_service_exception_without_details() -> None:
    response = World().ask("GET", "/2015-03-31/functions")
    assert response.status == 500
    assert b"ZeroDivisionError" not in response.body


def test_paths_outside_are_refused_as_aws_does() -> None:
    assert World().ask("GET", "/nothing/here").status == 403


def test_pages_are_found_by_name_or_prefix_and_others_list_them() -> None:
    world = World()
    assert world.ask("GET", "/metrics").body == b"page"
    assert world.ask("GET", "/_lambdad/code/abc").body == b"page"
    assert world.ask("GET", "/_lambdad/nothing").status == 404


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full"),
        (sqlite3.OperationalError("database or disk is full"), "is full"),
        (OSError(errno.EIO, "Input/output error"), "An error of lambdad itself"),
        (sqlite3.OperationalError("database is locked"), "An error of lambdad itself"),
    ],
)
def test_a_full_disk_is_called_that(error: Exception, words: str) -> None:
    assert words in in_words(error)
