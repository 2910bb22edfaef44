"""CloudWatch Logs over logs on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from lambdad.model.arn import Namespace
from lambdad.neighbours.json_protocol import Input, JsonError
from lambdad.neighbours.logs import LogsReadOperations
from lambdad.telemetry.log_groups import LogGroups
from lambdad.telemetry.log_store import LogStore

SPACE = Namespace("000000000000", "us-east-1")
GROUP = "/aws/lambda/f"


class Logs:
    def __init__(self, directory: Path) -> None:
        self.store = LogStore(directory / "functions")
        groups = LogGroups(self.store, LogStore(directory / "clients"), directory / "records")
        self.operations = LogsReadOperations(groups, lambda: 10.0).operations

    def write(self, stream: str, *records: tuple[int, str]) -> None:
        writer = self.store.open(SPACE, GROUP, stream)
        for moment, text in records:
            writer.append(moment, text.encode())
        writer.close()

    def ask(self, operation: str, **params: Any) -> dict[str, Any]:
        return self.operations[operation](SPACE, Input(orjson.dumps(params)))


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    made = Logs(tmp_path)
    made.write("a", (1000, "one"), (1001, "two"), (1003, "same"), (1003, "same"))
    made.write("b", (1001, "other"), (1004, "last"))
    return made


def test_groups_and_streams_are_described(logs: Logs) -> None:
    (group,) = logs.ask("DescribeLogGroups", logGroupNamePrefix="/aws/")["logGroups"]
    assert group["logGroupName"] == GROUP
    assert group["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}:*"
    first = logs.ask("DescribeLogStreams", logGroupName=GROUP, limit=1)
    assert [one["logStreamName"] for one in first["logStreams"]] == ["a"]
    second = logs.ask("DescribeLogStreams", logGroupName=GROUP, limit=1, nextToken=first["nextToken"])
    assert [one["logStreamName"] for one in second["logStreams"]] == ["b"]
    assert "nextToken" not in second
    assert logs.ask("DescribeLogGroups", logGroupNamePrefix="/x")["logGroups"] == []


def test_filtered_pages_bring_every_event_once_under_an_id_that_stays(logs: Logs) -> None:
    whole = logs.ask("FilterLogEvents", logGroupName=GROUP)["events"]
    assert [event["message"] for event in whole] == ["one", "two", "other", "same", "same", "last"]
    assert len({event["eventId"] for event in whole}) == 6
    pages, token = [], None
    while True:
        page = logs.ask("FilterLogEvents", logGroupName=GROUP, limit=1, nextToken=token)
        pages += page["events"]
        token = page.get("nextToken")
        if token is None:
            break
    assert pages == whole


def test_events_are_narrowed_by_pattern_time_and_stream(logs: Logs) -> None:
    def messages(**params: Any) -> list[str]:
        return [event["message"] for event in logs.ask("FilterLogEvents", logGroupIdentifier=GROUP, **params)["events"]]

    assert messages(filterPattern="same") == ["same", "same"]
    assert messages(startTime=1003) == ["same", "same", "last"]
    assert messages(endTime=1001) == ["one", "two", "other"]
    assert messages(logStreamNames=["b"]) == ["other", "last"]
    assert messages(logStreamNamePrefix="b") == ["other", "last"]


def test_the_events_of_a_stream_are_read_forwards_until_the_token_stays(logs: Logs) -> None:
    first = logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName="a", startFromHead=True, limit=3)
    assert [event["message"] for event in first["events"]] == ["one", "two", "same"]
    params = {"logGroupName": GROUP, "logStreamName": "a", "limit": 3}
    second = logs.ask("GetLogEvents", **params, nextToken=first["nextForwardToken"])
    assert [event["message"] for event in second["events"]] == ["same"]
    third = logs.ask("GetLogEvents", **params, nextToken=second["nextForwardToken"])
    assert (third["events"], third["nextForwardToken"]) == ([], second["nextForwardToken"])
    newest = logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName="a", limit=1)
    before = logs.ask("GetLogEvents", **params, nextToken=newest["nextBackwardToken"])
    assert [event["message"] for event in before["events"]] == ["one", "two", "same"]


@pytest.mark.parametrize(
    ("operation", "params", "code"),
    [
        ("FilterLogEvents", {"logGroupName": "none"}, "ResourceNotFoundException"),
        ("GetLogEvents", {"logGroupName": GROUP, "logStreamName": "none"}, "ResourceNotFoundException"),
        ("FilterLogEvents", {}, "InvalidParameterException"),
        ("FilterLogEvents", {"logGroupName": 1}, "InvalidParameterException"),
        ("FilterLogEvents", {"logGroupName": GROUP, "limit": 0}, "InvalidParameterException"),
        ("FilterLogEvents", {"logGroupName": GROUP, "nextToken": "é"}, "InvalidParameterException"),
        ("FilterLogEvents", {"logGroupName": GROUP, "nextToken": "eHh4"}, "InvalidParameterException"),
        ("FilterLogEvents", {"logGroupName": GROUP, "filterPattern": "{"}, "InvalidParameterException"),
        ("FilterLogEvents", {"logGroupName": GROUP, "logStreamNames": "a"}, "InvalidParameterException"),
        ("GetLogEvents", {"logGroupName": GROUP, "logStreamName": "a", "nextToken": "x"}, "InvalidParameterException"),
    ],
)
def test_errors_are_those_of_aws(logs: Logs, operation: str, params: dict[str, Any], code: str) -> None:
    with pytest.raises(JsonError) as caught:
        logs.ask(operation, **params)
    assert caught.value.code == code


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"1"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(JsonError, match="not a JSON object"):
        Input(body)
