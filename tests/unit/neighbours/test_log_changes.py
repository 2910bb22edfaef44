"""CloudWatch Logs: groups, streams, retention, tags and events of clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from lambdad.model.arn import Namespace
from lambdad.neighbours.json_protocol import Input, JsonError
from lambdad.neighbours.log_changes import LogsChangeOperations
from lambdad.neighbours.logs import LogsReadOperations
from lambdad.telemetry.log_groups import DAY_MS, LogGroups
from lambdad.telemetry.log_store import LogStore

SPACE = Namespace("000000000000", "us-east-1")
NOW_MS = 1_700_000_000_000
ARN = "arn:aws:logs:us-east-1:000000000000:log-group:g"


class Logs:
    def __init__(self, root: Path) -> None:
        groups = LogGroups(LogStore(root / "functions"), LogStore(root / "clients"), root / "records")
        self.operations = {
            **LogsReadOperations(groups, lambda: NOW_MS / 1000).operations,
            **LogsChangeOperations(groups, lambda: NOW_MS / 1000).operations,
        }

    def ask(self, operation: str, **params: Any) -> dict[str, Any]:
        return self.operations[operation](SPACE, Input(orjson.dumps(params)))

    def fails(self, operation: str, **params: Any) -> tuple[str, str]:
        with pytest.raises(JsonError) as error:
            self.ask(operation, **params)
        return error.value.code, error.value.message

    def group(self) -> dict[str, Any]:
        (group,) = self.ask("DescribeLogGroups", logGroupNamePrefix="g")["logGroups"]
        return dict(group)


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    made = Logs(tmp_path)
    made.ask("CreateLogGroup", logGroupName="g", tags={"a": "1"})
    made.ask("CreateLogStream", logGroupName="g", logStreamName="s")
    return made


def test_a_group_is_made_once_described_and_deleted(logs: Logs) -> None:
    assert (logs.group()["creationTime"], logs.group()["arn"]) == (NOW_MS, f"{ARN}:*")
    assert logs.fails("CreateLogGroup", logGroupName="g") == (
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    )
    logs.ask("DeleteLogGroup", logGroupName="g")
    assert logs.ask("DescribeLogGroups")["logGroups"] == []
    missing = ("ResourceNotFoundException", "The specified log group does not exist.")
    assert logs.fails("DeleteLogGroup", logGroupName="g") == missing
    for operation in ("PutRetentionPolicy", "DeleteRetentionPolicy", "ListTagsLogGroup", "DescribeLogStreams"):
        assert logs.fails(operation, logGroupName="g", retentionInDays=1) == missing


@pytest.mark.parametrize("name", ["", "a b", "x" * 513, "ä", "a:b", None])
def test_a_group_needs_a_name_of_awss_letters(logs: Logs, name: str | None) -> None:
    code, message = logs.fails("CreateLogGroup", logGroupName=name)
    assert code == "InvalidParameterException"
    assert "'logGroupName' failed to satisfy constraint" in message


def test_retention_is_one_of_awss_numbers_of_days(logs: Logs) -> None:
    assert "retentionInDays" not in logs.group()
    logs.ask("PutRetentionPolicy", logGroupName="g", retentionInDays=14)
    assert logs.group()["retentionInDays"] == 14
    assert "enum value set" in logs.fails("PutRetentionPolicy", logGroupName="g", retentionInDays=2)[1]
    logs.ask("DeleteRetentionPolicy", logGroupName="g")
    assert "retentionInDays" not in logs.group()


def test_tags_are_put_listed_and_taken_away_by_arn_and_by_name(logs: Logs) -> None:
    logs.ask("TagResource", resourceArn=ARN, tags={"b": "2"})
    assert logs.ask("ListTagsForResource", resourceArn=f"{ARN}:*") == {"tags": {"a": "1", "b": "2"}}
    logs.ask("UntagResource", resourceArn=ARN, tagKeys=["a"])
    logs.ask("TagLogGroup", logGroupName="g", tags={"c": "3"})
    logs.ask("UntagLogGroup", logGroupName="g", tags=["b"])
    assert logs.ask("ListTagsLogGroup", logGroupName="g") == {"tags": {"c": "3"}}
    many = {str(number): "" for number in range(50)}
    assert logs.fails("TagResource", resourceArn=ARN, tags=many)[0] == "TooManyTagsException"


def test_events_are_put_into_a_stream_and_read_from_both_ends(logs: Logs) -> None:
    events = [{"timestamp": NOW_MS + number, "message": f"line {number}"} for number in range(4)]
    answer = logs.ask("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=events, sequenceToken="any")
    assert answer.keys() == {"nextSequenceToken"}

    def page(**params: Any) -> tuple[list[str], str, str]:
        shape = logs.ask("GetLogEvents", logGroupName="g", logStreamName="s", limit=2, **params)
        return (
            [event["message"] for event in shape["events"]],
            shape["nextForwardToken"],
            shape["nextBackwardToken"],
        )

    lines, forward, _ = page(startFromHead=True)
    assert lines == ["line 0", "line 1"]
    lines, forward, _ = page(nextToken=forward)
    assert lines == ["line 2", "line 3"]
    assert page(nextToken=forward)[:2] == ([], forward)
    lines, _, backward = page()
    assert lines == ["line 2", "line 3"]
    assert page(nextToken=backward)[0] == ["line 0", "line 1"]


def test_events_that_are_too_old_or_too_new_are_left_out_and_said(logs: Logs) -> None:
    old = [{"timestamp": NOW_MS - 15 * DAY_MS, "message": "old"}]
    answer = logs.ask("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=old)
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    new = [{"timestamp": NOW_MS, "message": "now"}, {"timestamp": NOW_MS + 8_000_000, "message": "new"}]
    answer = logs.ask("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=new)
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    assert [event["message"] for event in logs.ask("FilterLogEvents", logGroupName="g")["events"]] == ["now"]
    logs.ask("PutRetentionPolicy", logGroupName="g", retentionInDays=1)
    expired = [{"timestamp": NOW_MS - 2 * DAY_MS, "message": "expired"}]
    answer = logs.ask("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=expired)
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (None, "list of 1"),
        ([], "list of 1"),
        (["x"], "list of 1"),
        ([{"timestamp": "x", "message": "m"}], "timestamp"),
        ([{"timestamp": -1, "message": "m"}], "timestamp"),
        ([{"timestamp": NOW_MS, "message": ""}], "message"),
        ([{"timestamp": NOW_MS, "message": "m" * 300_000}], "too large"),
        ([{"timestamp": NOW_MS, "message": "m" * 260_000}] * 5, "too large"),
        ([{"timestamp": NOW_MS, "message": "m"}, {"timestamp": NOW_MS - 1, "message": "m"}], "chronological order"),
        ([{"timestamp": NOW_MS - 2 * DAY_MS, "message": "m"}, {"timestamp": NOW_MS, "message": "m"}], "24 hours"),
    ],
)
def test_a_batch_that_aws_refuses_is_refused(logs: Logs, events: Any, text: str) -> None:
    code, message = logs.fails("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=events)
    assert code == "InvalidParameterException"
    assert text in message


def test_streams_are_made_once_and_must_be_there(logs: Logs) -> None:
    assert logs.fails("CreateLogStream", logGroupName="g", logStreamName="s") == (
        "ResourceAlreadyExistsException",
        "The specified log stream already exists",
    )
    assert logs.fails("CreateLogStream", logGroupName="g", logStreamName="a:b")[0] == "InvalidParameterException"
    events = [{"timestamp": NOW_MS, "message": "m"}]
    missing = ("ResourceNotFoundException", "The specified log stream does not exist.")
    assert logs.fails("PutLogEvents", logGroupName="g", logStreamName="x", logEvents=events) == missing
    logs.ask("DeleteLogStream", logGroupName="g", logStreamName="s")
    assert logs.fails("DeleteLogStream", logGroupName="g", logStreamName="s") == missing
    assert logs.fails("GetLogEvents", logGroupName="g", logStreamName="s") == missing
