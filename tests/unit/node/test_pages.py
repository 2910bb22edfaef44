"""The pages of the node."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from lambdad.control.code_location import CodeLocations
from lambdad.model.arn import Namespace
from lambdad.model.clock import SystemClock
from lambdad.node.log_page import LogPage
from lambdad.node.pages import CodePage, HealthPage, MetricsPage
from lambdad.store.blobs import DirectoryBlobs
from lambdad.telemetry.log_store import LogStore
from lambdad.telemetry.metrics import Metrics
from lambdad.wire.http import Request, Response

HERE = Namespace("000000000000", "us-east-1")


class Answer:
    gone = False

    def __init__(self) -> None:
        self.responses: list[Response] = []

    def send(self, response: Response) -> None:
        self.responses.append(response)

    @property
    def response(self) -> Response:
        [response] = self.responses
        return response


def get(path: str) -> Request:
    path, _, query = path.partition("?")
    return Request("GET", path, query, {}, b"")


def body_of(response: Response) -> bytes:
    async def collect() -> bytes:
        assert response.stream is not None
        return b"".join([piece async for piece in response.stream])

    return response.body if response.stream is None else asyncio.run(collect())


def test_health_is_bad_until_the_worker_is_there() -> None:
    answer = Answer()
    HealthPage(lambda: None)(get("/_lambdad/health"), HERE, answer)
    assert answer.response.status == 503
    answer = Answer()
    HealthPage(lambda: {"runtimes": ["python3.11"]})(get("/_lambdad/health"), HERE, answer)
    assert json.loads(answer.response.body) == {"status": "ok", "runtimes": ["python3.11"]}


def test_metrics_are_refreshed_before_they_are_shown() -> None:
    metrics = Metrics()
    answer = Answer()
    MetricsPage(metrics, lambda: metrics.set_sandboxes({"busy": 3}))(get("/metrics"), HERE, answer)
    assert b'lambdad_sandboxes{state="busy"} 3.0' in answer.response.body


def test_code_is_given_to_who_has_a_link_and_to_nobody_else(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    locations = CodeLocations(b"k" * 32)
    clock = SystemClock()
    page = CodePage(blobs, locations, clock)
    digest = blobs.put(b"PK zip")
    link = locations.make("", digest, clock.time())
    answer = Answer()
    page(get(link), HERE, answer)
    assert body_of(answer.response) == b"PK zip"
    for bad, status in ((link.replace("token=", "token=0"), 403), (locations.make("", "0" * 64, clock.time()), 404)):
        answer = Answer()
        page(get(bad), HERE, answer)
        assert answer.response.status == status


def test_logs_come_as_lines_of_json_and_can_be_narrowed(tmp_path: Path) -> None:
    logs = LogStore(tmp_path)
    writer = logs.open(HERE, "/aws/lambda/f", "2026/01/01/[1]abc")
    for number, message in enumerate((b"START RequestId: id-7", b"inside", b"REPORT RequestId: id-7", b"after")):
        writer.append(1000 + number, message)
    writer.close()
    page = LogPage(logs, lambda namespace, name: f"/aws/lambda/{name}")

    def messages(path: str) -> list[str]:
        answer = Answer()
        page(get(path), HERE, answer)
        return [json.loads(line)["message"] for line in body_of(answer.response).splitlines()]

    assert messages("/_lambdad/logs/f") == ["START RequestId: id-7", "inside", "REPORT RequestId: id-7", "after"]
    assert messages("/_lambdad/logs/f?since=1002") == ["REPORT RequestId: id-7", "after"]
    assert messages("/_lambdad/logs/f?request_id=id-7") == ["START RequestId: id-7", "inside", "REPORT RequestId: id-7"]
    assert messages("/_lambdad/logs/f?qualifier=2") == []


def test_a_question_for_logs_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    page = LogPage(LogStore(tmp_path), lambda namespace, name: name)
    for path in ("/_lambdad/logs/", "/_lambdad/logs/f?since=yesterday", "/_lambdad/logs/..%2F..%2Fetc"):
        answer = Answer()
        page(get(path), HERE, answer)
        assert answer.response.status == 400, path
