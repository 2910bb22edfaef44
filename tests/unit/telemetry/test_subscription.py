"""What may be asked of the Telemetry and Logs APIs."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.telemetry.subscription import InvalidSubscription, Subscription, parse_subscription

GOOD: dict[str, Any] = {
    "schemaVersion": "2022-12-13",
    "types": ["function", "platform"],
    "buffering": {"maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 100},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/a?b=1"},
}


def parse(request: object, *, is_logs_api: bool = False) -> Subscription:
    return parse_subscription(orjson.dumps(request), is_logs_api=is_logs_api)


def test_a_whole_request_is_understood() -> None:
    assert parse(GOOD) == Subscription(
        schema="2022-12-13",
        types=("platform", "function"),
        port=8080,
        path="/a?b=1",
        max_items=1000,
        max_bytes=262_144,
        timeout=0.1,
    )


def test_what_is_left_out_has_the_documented_defaults() -> None:
    found = parse({"types": ["extension"], "destination": {"protocol": "TCP", "port": 4000}})
    assert (found.schema, found.max_items, found.max_bytes, found.timeout) == ("2022-07-01", 10_000, 262_144, 1.0)
    assert (found.port, found.path, found.has_objects, found.is_logs_api) == (4000, None, False, False)
    logs = parse({"types": ["function"], "destination": GOOD["destination"]}, is_logs_api=True)
    assert (logs.schema, logs.is_logs_api) == ("2020-08-15", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"types": []}, "types should not be empty"),
        ({"types": ["platform", "metrics"]}, "not metrics"),
        ({"schemaVersion": "2020-08-15"}, "schemaVersion"),
        ({"destination": None}, "destination is not provided"),
        ({"destination": {"protocol": "UDP"}}, "protocol"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}}, "URI port is not provided"),
        ({"destination": {"protocol": "HTTP", "URI": "http://169.254.169.254:80/"}}, "sandbox.localdomain"),
        ({"destination": {"protocol": "HTTP", "URI": "https://sandbox.localdomain:80/"}}, "sandbox.localdomain"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:9001/"}}, "reserved"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:99999/"}}, "not valid"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:80/a\r\nX: y"}}, "not valid"),
        ({"destination": {"protocol": "TCP", "port": "80"}}, "between 1 and 65535"),
        ({"buffering": {"maxItems": 1}}, "maxItems should be between 1000 and 10000"),
        ({"buffering": {"maxBytes": 1 << 30}}, "maxBytes"),
        ({"buffering": {"timeoutMs": True}}, "timeoutMs"),
        ({"buffering": 5}, "buffering should be an object"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSubscription) as caught:
        parse({**GOOD, **change})
    assert words in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidSubscription) as caught:
        parse({"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}})
    assert str(caught.value) == "types should not be empty; URI port is not provided"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["schemaVersion", "types", "buffering", "destination"]), VALUES))
def test_no_json_raises_anything_else(request: dict[str, Any]) -> None:
    for is_logs_api in (False, True):
        try:
            parse(request, is_logs_api=is_logs_api)
        except InvalidSubscription as error:
            assert str(error)


@given(st.binary())
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with pytest.raises(InvalidSubscription):
        parse_subscription(body, is_logs_api=False)
