"""Every operation of the service model with requests that nobody should send: always an answer, in AWS's form.

What may not happen: a 5xx, a connection closed without an answer, an answer that is neither an error
of AWS's form nor a success, a node that is not well afterwards.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.any_request import requests

from lambdad.testing.local_node import HEALTH_PATH, LocalNode
from lambdad.testing.shapes import service_model

DEADLINE_S = 60.0
NOT_BUILT = "not supported by lambdad"


def _ask(node: LocalNode, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=DEADLINE_S)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", sorted(service_model().operation_names))
def test_whatever_is_asked_is_answered_in_awss_form(node: LocalNode, name: str) -> None:
    operation = service_model().operation_model(name)

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(operation))
    def run(request: tuple[str, str, bytes, dict[str, str]]) -> None:
        method, target, body, headers = request
        status, answered, text = _ask(node, method, target, body, headers)
        case = f"{method} {target[:300]} {body[:300]!r} {headers} -> {status} {text[:300]!r}"
        if NOT_BUILT.encode() in text:
            assert 400 <= status < 500, case
            return
        assert status < 500, case
        if status >= 400:
            error = json.loads(text)
            assert answered["x-amzn-errortype"], case
            assert isinstance(error.get("Message", error.get("message")), str), case
        assert answered["x-amzn-requestid"], case

    run()


def test_the_node_is_well_afterwards(node: LocalNode) -> None:
    status, _, text = _ask(node, "GET", HEALTH_PATH, b"", {})
    assert (status, json.loads(text)["status"]) == (200, "ok")
    assert "Traceback" not in node.log.read_text(errors="replace")
