"""Every operation of the service model with requests that nobody should send: always an answer, in AWS's form.

Values follow the model's shapes often enough to get past the first check, and leave them often enough to fail each of
the later ones. What may not happen: a 5xx, a connection closed without an answer, an answer that is neither an error
of AWS's form nor a success, a node that is not well afterwards.
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lambdad.testing.local_node import HEALTH_PATH, LocalNode
from lambdad.testing.shapes import service_model

DEADLINE_S = 60.0
FORBIDDEN_IN_TARGETS = set(range(0x21)) | {0x7F}
NOT_BUILT = "not supported by lambdad"
RUNS_CODE = ("Invoke", "InvokeAsync", "InvokeWithResponseStream")

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.none(), max_size=2),
    st.sampled_from(["", " ", "\0", "../..", "%00", "$LATEST", "a" * 300, "arn:aws:lambda:x:y:z", "1" * 40]),
)
NAMES = ["f", "f:1", "f:$LATEST", "arn:aws:lambda:us-east-1:000000000000:function:f", "000000000000:f", "no-such"]


def values(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a shape, and one in some of anything else."""
    return st.one_of(_fitting(shape, depth), _fitting(shape, depth), _fitting(shape, depth), JUNK)


def _fitting(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    match shape.type_name:
        case "structure" if depth < 4:
            required = {name: values(shape.members[name], depth + 1) for name in shape.required_members}
            optional = {
                name: values(member, depth + 1) for name, member in shape.members.items() if name not in required
            }
            return st.fixed_dictionaries(required, optional=optional)
        case "list" if depth < 4:
            return st.lists(values(shape.member, depth + 1), max_size=3)
        case "map" if depth < 4:
            return st.dictionaries(st.text(max_size=8), values(shape.value, depth + 1), max_size=3)
        case "integer" | "long":
            return st.sampled_from([0, 1, 2, 3, 100, 128, 10240, 2**31, -1])
        case "boolean":
            return st.booleans()
        case "double" | "float":
            return st.floats(0, 1)
        case "timestamp":
            return st.just(1_700_000_000)
        case "blob":
            return st.sampled_from(["", "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==", "not base64!"])
    return st.sampled_from([*(shape.metadata.get("enum") or NAMES), "a", "1", "a-b_c"])


@st.composite
def requests(draw: st.DrawFn, operation: Any) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, target, body and headers."""
    target = operation.http["requestUri"]
    query: list[tuple[str, str]] = []
    members: dict[str, Any] = {}
    headers = {"Content-Type": draw(st.sampled_from(["application/json", "text/plain", "application/x-amz-json-1.1"]))}
    payload: Any = None
    shape = operation.input_shape
    for name, member in (shape.members if shape is not None else {}).items():
        place, key = member.serialization.get("location"), member.serialization.get("name", name)
        if place == "uri":
            text = str(draw(values(member)))
            target = target.replace("{" + key + "}", quote(text, safe="")).replace(
                "{" + key + "+}", quote(text, safe="/")
            )
        elif name not in shape.required_members and draw(st.booleans()):
            continue
        elif place == "querystring":
            query += [(key, str(draw(values(member))))] * draw(st.integers(1, 2))
        elif place == "header":
            text = str(draw(values(member)))
            headers[key] = "".join(letter for letter in text if 0x20 <= ord(letter) < 0x7F)
        elif name == shape.serialization.get("payload"):
            payload = draw(st.binary(max_size=50))
        else:
            members[key] = draw(values(member))
    if draw(st.integers(0, 9)) == 0:
        members["Nonsense"] = draw(JUNK)
    body = (
        payload
        if payload is not None
        else json.dumps(members, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    )
    if draw(st.integers(0, 7)) == 0:
        body = draw(
            st.sampled_from([b"", b"{", b"[]", b"\xff\xfe{}", b"null", body[:-1], b'{"a":' * 2000, b"0" * 20000])
        )
    if query:
        target += ("&" if "?" in target else "?") + urlencode(query)
    return operation.http["method"], target, body, headers


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
