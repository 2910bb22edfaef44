"""Which neighbour a request is for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from lambdad.neighbours.service import Neighbours
from lambdad.node.gate import GateOfNeighbours
from lambdad.store.metadata import SqliteStore
from lambdad.telemetry.log import silent
from lambdad.telemetry.log_groups import LogGroups
from lambdad.telemetry.log_store import LogStore
from lambdad.testing.gates import open_gate
from lambdad.wire.http import Request, Response

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


class Answer:
    gone = False

    def __init__(self) -> None:
        self.response: Response | None = None

    def send(self, response: Response) -> None:
        self.response = response


def ask(directory: Path, headers: dict[str, str], body: bytes, path: str = "/") -> Response | None:
    answer = Answer()
    logs = LogGroups(LogStore(directory / "functions"), LogStore(directory / "clients"), directory / "records")
    coroutines: list[Coroutine[Any, Any, None]] = []

    async def serve() -> bool:
        store = SqliteStore(directory / "metadata.sqlite")
        await store.open()
        gate = GateOfNeighbours(open_gate())
        neighbours = Neighbours(logs, store, gate, coroutines.append, silent(), lambda: 1.0)
        served = neighbours.serve(Request("POST", path, "", headers, body), answer)
        for coroutine in coroutines:
            await coroutine
        await store.close()
        return served

    assert asyncio.run(serve()) is (answer.response is not None)
    return answer.response


def test_the_caller_is_the_root_of_the_account(tmp_path: Path) -> None:
    response = ask(tmp_path, FORM, b"Action=GetCallerIdentity&Version=2011-06-15")
    assert response is not None
    assert b"<Account>000000000000</Account>" in response.body


def test_logs_are_chosen_by_the_target(tmp_path: Path) -> None:
    response = ask(tmp_path, {"x-amz-target": "Logs_20140328.DescribeLogGroups"}, b"{}")
    assert response is not None
    assert (response.status, response.body) == (200, b'{"logGroups":[]}')
    refused = ask(tmp_path, {"x-amz-target": "Logs_20140328.StartQuery"}, b"{}")
    assert refused is not None
    assert refused.status == 400
    assert b"lambdad has no StartQuery of CloudWatch Logs, but DescribeLogGroups, " in refused.body


def test_a_live_tail_of_no_group_is_an_error_before_it_is_a_stream(tmp_path: Path) -> None:
    refused = ask(tmp_path, {"x-amz-target": "Logs_20140328.StartLiveTail"}, b'{"logGroupIdentifiers": ["x"]}')
    assert refused is not None
    assert (refused.status, refused.stream) == (400, None)
    assert b"ResourceNotFoundException" in refused.body


def test_everything_else_is_left_to_the_lambda_api(tmp_path: Path) -> None:
    for headers, body, path in (
        ({}, b"", "/"),
        (FORM, b"Action=ListUsers", "/"),
        (FORM, b"\xff", "/"),
        (FORM, b"&".join([b"a=b"] * 100), "/"),
        ({"x-amz-target": "DynamoDB_20120810.ListTables"}, b"{}", "/"),
        ({"x-amz-target": "Logs_20140328.DescribeLogGroups"}, b"{}", "/2015-03-31/functions"),
    ):
        assert ask(tmp_path, headers, body, path) is None
