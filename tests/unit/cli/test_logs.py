"""`lambdad logs` prints the records of a node, or CloudWatch's, chosen by time and invocation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from lambdad.cli import logs as logs_module
from lambdad.cli.logs import Record, _filter_events, _RequestFilter, parse_since, style_of
from lambdad.wire.sigv4 import Credential, Identity, Verifier

Command = Callable[..., tuple[int, str, str]]
FIRST = "11111111-1111-1111-1111-111111111111"
OTHER = "22222222-2222-2222-2222-222222222222"


def line(timestamp: int, message: str, stream: str = "s") -> bytes:
    return json.dumps({"timestamp": timestamp, "stream": stream, "message": message}).encode() + b"\n"


def test_records_are_printed_with_their_time(fake: Any, lambdad: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    fake.log_lines = [
        line(1_700_000_000_123, "hello\tthere\x1b[2J"),
        b"\n",
        b"nonsense\n",
        line(1_700_000_001_000, "a\rb"),
    ]
    status, out, err = lambdad("logs", "f", "--since", "2023-11-14T00:00:00Z", "--qualifier", "3")
    assert (status, err) == (0, "")
    assert [text.split(" ", 2)[2] for text in out.splitlines()] == ["hello\tthere[2J", "a", "b"]
    assert out.splitlines()[0].split(" ")[1].endswith(".123")
    assert fake.pages == ["/_lambdad/logs/f?since=1699920000000&follow=0&qualifier=3"]


def test_json_is_one_object_a_line(fake: Any, lambdad: Command) -> None:
    fake.log_lines = [line(5, "é"), line(6, "b", "t")]
    out = lambdad("logs", "f", "--json", "--follow")[1]
    assert [json.loads(text) for text in out.splitlines()] == [
        {"timestamp": 5, "stream": "s", "message": "é"},
        {"timestamp": 6, "stream": "t", "message": "b"},
    ]
    assert "follow=1" in fake.pages[0]


def test_a_name_is_quoted(fake: Any, lambdad: Command) -> None:
    lambdad("logs", "arn:x/../y", "--since", "1970-01-01T00:00:00Z")
    assert fake.pages == ["/_lambdad/logs/arn%3Ax%2F..%2Fy?since=0&follow=0"]


def test_the_node_learns_the_callers_account_and_region(
    fake: Any, lambdad: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "123456789012")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert lambdad("logs", "f")[0] == 0
    verifier = Verifier(lambda access_key: Credential(access_key, "x"), service="lambda")
    assert verifier.verify(fake.requests[-1], now=time.time()) == Identity("123456789012", "eu-west-1")


def test_ctrl_c_ends_following_well(fake: Any, lambdad: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Iterator[Record]:
        yield Record(1, "s", "last words")
        raise KeyboardInterrupt

    monkeypatch.setattr(logs_module, "_read_node", interrupted)
    status, out, err = lambdad("logs", "f", "--follow")
    assert (status, err) == (0, "")
    assert out.endswith("last words\n")


def test_an_error_of_the_node_is_one_line(fake: Any, lambdad: Command) -> None:
    fake.log_status, fake.log_lines = 404, [b'{"Message": "Function not found: f"}']
    assert lambdad("logs", "f") == (1, "", "error: Function not found: f\n")
    fake.log_lines = [b"<html>"]
    assert lambdad("logs", "f") == (1, "", "error: the logs are not to be had: HTTP 404\n")


def test_the_lines_of_one_invocation_are_chosen_by_its_span() -> None:
    records = [
        Record(1, "s", f"START RequestId: {OTHER} Version: 1"),
        Record(2, "s", "of the other"),
        Record(3, "s", f"REPORT RequestId: {OTHER}\tDuration: 1 ms"),
        Record(4, "s", f"START RequestId: {FIRST} Version: 1"),
        Record(5, "t", "in another stream"),
        Record(6, "s", "wanted"),
        Record(7, "s", f"END RequestId: {FIRST}"),
        Record(8, "s", f"REPORT RequestId: {FIRST}\tDuration: 1 ms"),
        Record(9, "s", "afterwards"),
        Record(10, "t", f"mentions {FIRST}"),
    ]
    chosen = _RequestFilter(FIRST)
    assert [record.timestamp for record in records if chosen.wants(record)] == [4, 6, 7, 8, 10]
    everything = _RequestFilter(None)
    assert all(everything.wants(record) for record in records)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", 9_400.0),
        ("1.5h", 4_600.0),
        ("250ms", 9_999.75),
        ("9d", 0.0),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_since_is_a_span_or_a_time(text: str, expected: float) -> None:
    assert parse_since(text, 10_000.0) == expected


@pytest.mark.parametrize("text", ["", "10", "m", "yesterday", "10m ago"])
def test_since_refuses_anything_else(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_since(text, 0.0)


def test_cloudwatch_is_read_page_by_page_and_followed_without_repeats() -> None:
    def event(number: int, at: int, stream: str = "2026/01/01/[3]abc") -> dict[str, Any]:
        return {"eventId": f"e{number}", "timestamp": at, "logStreamName": stream, "message": f"m{number}\n"}

    answers = [
        {"events": [event(1, 5_000)], "nextToken": "t"},
        {"events": [event(2, 6_000), event(3, 6_000, "2026/01/01/[$LATEST]x")]},
        {"events": [event(2, 6_000), event(4, 6_500)]},
        {"events": [event(4, 6_500)]},
    ]
    asked: list[dict[str, Any]] = []

    def fetch(**request: Any) -> dict[str, Any]:
        asked.append(request)
        return answers[len(asked) - 1]

    def sleep(_: float) -> None:
        if len(asked) == len(answers):
            raise KeyboardInterrupt

    request = {"logGroupName": "/aws/lambda/f", "startTime": 4_000}
    found: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        for record in _filter_events(fetch, request, "3", follow=True, sleep=sleep):
            found.append(record.message)
    assert found == ["m1", "m2", "m4"]
    assert [(given["startTime"], given.get("nextToken")) for given in asked] == [
        (4_000, None),
        (4_000, "t"),
        (5_000, None),
        (5_500, None),
    ]


@pytest.mark.parametrize(
    ("message", "colour"),
    [
        ("START RequestId: x", "36"),
        ("REPORT RequestId: x\tDuration: 1 ms", "36"),
        ("REPORT RequestId: x\tStatus: timeout", "31"),
        ("[ERROR] ValueError: no", "31"),
        ("2026\tx\tERROR\tInvoke Error", "31"),
        ('{"level": "ERROR", "message": "x"}', "31"),
        ("STARTING up", ""),
        ("hello", ""),
    ],
)
def test_errors_are_red_and_the_platforms_lines_are_cyan(message: str, colour: str) -> None:
    assert style_of(message) == (f"\x1b[{colour}m" if colour else "")
