"""CloudWatch Logs, STS and IAM on the node's port, through boto3 and the AWS CLI."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import REGION, LocalNode
from lambdad.testing.waiting import wait_until


def other_client(node: LocalNode, service: str, account: str = "test", **options: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=node.endpoint,
        region_name=REGION,
        aws_access_key_id=account,
        aws_secret_access_key="test",
        config=Config(**options),
    )


def aws(node: LocalNode, home: Path, *arguments: str) -> str:
    """What the AWS CLI prints."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": node.endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "HOME": str(home),
    }
    program = str(Path(sys.executable).parent / "aws")
    told = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_sts_says_who_calls(node: LocalNode, tmp_path: Path) -> None:
    assert other_client(node, "sts").get_caller_identity()["Account"] == "000000000000"
    told = json.loads(aws(node, tmp_path, "sts", "get-caller-identity"))
    assert told == {"UserId": "000000000000", "Account": "000000000000", "Arn": "arn:aws:iam::000000000000:root"}


def test_a_functions_log_is_read_as_cloudwatch_logs(node: LocalNode, lambda_client: Any, tmp_path: Path) -> None:
    logs = other_client(node, "logs")
    source = "def handler(event, context):\n    print('a line of', event['who'])\n"
    with deploy_python(lambda_client, source) as function:
        group = f"/aws/lambda/{function.name}"
        with pytest.raises(ClientError, match="The specified log group does not exist"):
            logs.filter_log_events(logGroupName=group)
        function.invoke({"who": "mine"})

        def messages(**params: Any) -> list[str]:
            try:
                pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **params)
                return [event["message"].rstrip() for page in pages for event in page["events"]]
            except ClientError:
                return []

        wait_until(lambda: any("REPORT" in one for one in messages()), "the log", 60)
        assert messages(filterPattern='"a line of mine"') == ["a line of mine"]
        assert [one["logGroupName"] for one in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]] == (
            [group]
        )
        (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
        assert "a line of mine" in [event["message"].rstrip() for event in events["events"]]
        # What `aws logs tail` of the AWS CLI v2 calls; the v1 of PyPI has no `tail` itself.
        tail = aws(node, tmp_path, "logs", "filter-log-events", "--log-group-name", group, "--interleaved")
        assert "a line of mine" in tail
        failed = logs.filter_log_events(logGroupName=group, filterPattern='{ $.level = "ERROR" }')
        assert failed["events"] == []
        logs.delete_log_group(logGroupName=group)
        assert messages() == []
        assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []
        function.invoke({"who": "mine again"})
        wait_until(lambda: "a line of mine again" in messages(), "the log of a group that was deleted", 60)
        assert "a line of mine" not in messages()


def test_a_tail_that_follows_shows_each_line_once(node: LocalNode, lambda_client: Any) -> None:
    """As `aws logs tail --follow` asks: for what came since the newest line, leaving out what it has shown of it."""
    logs = other_client(node, "logs")
    with deploy_python(lambda_client, "def handler(event, context):\n    print('line', event)\n") as function:
        asked: dict[str, Any] = {"logGroupName": f"/aws/lambda/{function.name}", "interleaved": True, "startTime": 0}
        shown: dict[str, str] = {}

        def look() -> None:
            try:
                pages = logs.get_paginator("filter_log_events").paginate(**asked)
                found = [event for page in pages for event in page["events"]]
            except logs.exceptions.ResourceNotFoundException:
                return
            for event in found:
                assert event["eventId"] not in shown or event["timestamp"] == asked["startTime"]
                shown[event["eventId"]] = event["message"].rstrip()
            asked["startTime"] = max([asked["startTime"], *(event["timestamp"] for event in found)])

        def count(start: str) -> int:
            look()
            return sum(text.startswith(start) for text in shown.values())

        for number in range(3):
            function.invoke(number)
            wait_until(lambda: count("line") == number + 1, "the next line", 60)  # noqa: B023  within its round
        wait_until(lambda: count("REPORT") == 3, "the last line", 60)
        assert [text for text in shown.values() if text.startswith("line")] == ["line 0", "line 1", "line 2"]
        assert len(set(shown.values())) == len(shown)


def test_clients_make_groups_and_put_events(node: LocalNode) -> None:
    logs = other_client(node, "logs")
    group = f"/made/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=group, tags={"team": "a"})
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    (shown,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert shown["retentionInDays"] == 7
    assert logs.list_tags_for_resource(resourceArn=shown["logGroupArn"])["tags"] == {"team": "a"}
    now = int(time.time() * 1000)
    lines = ['{"level": "INFO"}', '{"level": "ERROR", "took": 12}']
    events = [{"timestamp": now + number, "message": line} for number, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    found = logs.filter_log_events(logGroupName=group, filterPattern="{ $.level = ERROR && $.took > 10 }")
    assert [event["message"] for event in found["events"]] == lines[1:]
    logs.delete_log_stream(logGroupName=group, logStreamName="s")
    assert logs.describe_log_streams(logGroupName=group)["logStreams"] == []
    logs.delete_log_group(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=group)


def test_a_live_tail_shows_what_comes(node: LocalNode) -> None:
    # AWS puts `streaming-` before the host's name; an address has no such name.
    logs = other_client(node, "logs", inject_host_prefix=False)
    group = f"/made/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    (shown,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    stream = logs.start_live_tail(logGroupIdentifiers=[shown["logGroupArn"]])["responseStream"]
    with contextlib.closing(stream):
        events = iter(stream)
        assert "sessionStart" in next(events)
        now = int(time.time() * 1000)
        logs.put_log_events(
            logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now + 1000, "message": "hello"}]
        )
        results = (result for event in events for result in event["sessionUpdate"]["sessionResults"])
        assert next(results)["message"] == "hello"


def test_the_cli_shows_a_role(node: LocalNode, tmp_path: Path) -> None:
    role = json.loads(aws(node, tmp_path, "iam", "get-role", "--role-name", "execution"))["Role"]
    assert role["Arn"] == "arn:aws:iam::000000000000:role/execution"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_a_role_is_what_functions_call_it(node: LocalNode) -> None:
    """In an account that has made none; roles that are made are in test_roles.py."""
    role = other_client(node, "iam", account="454545454545").get_role(RoleName="execution")["Role"]
    assert role["Arn"] == "arn:aws:iam::454545454545:role/execution"
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRole"
