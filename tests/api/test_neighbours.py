"""CloudWatch Logs and STS on the node's port, through boto3 and the AWS CLI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import REGION, LocalNode
from lambdad.testing.waiting import wait_until


def other_client(node: LocalNode, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=node.endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def test_sts_says_who_calls(node: LocalNode) -> None:
    assert other_client(node, "sts").get_caller_identity()["Account"] == "000000000000"


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
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": node.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "HOME": str(tmp_path),
        }
        # What `aws logs tail` of the AWS CLI v2 calls; the v1 of PyPI has no `tail` itself.
        program = str(Path(sys.executable).parent / "aws")
        command = [program, "logs", "filter-log-events", "--log-group-name", group, "--interleaved"]
        tail = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert tail.returncode == 0, tail.stderr
        assert "a line of mine" in tail.stdout
        with pytest.raises(ClientError, match="can be read, not written"):
            logs.delete_log_group(logGroupName=group)
