"""Functions whose runtime this machine lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdad.control.runtimes import CREATABLE
from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import REGION, LocalNode
from lambdad.testing.waiting import wait_until

SOURCE = "import os\n\ndef handler(event, context):\n    return os.environ['AWS_EXECUTION_ENV']\n"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
OLDEST_MISSING = "python3.8"
"""lambdad runs 3.9 and newer, so no machine has it."""


def test_the_nearest_version_runs_them_and_init_start_says_so(node: LocalNode, lambda_client: Any) -> None:
    assert OLDEST_MISSING in CREATABLE
    with deploy_python(lambda_client, SOURCE, runtime=OLDEST_MISSING) as function:
        assert function.invoke({}).value == "AWS_Lambda_python3.8"
        logs = boto3.client("logs", endpoint_url=node.endpoint, region_name=REGION, **CREDENTIALS)

        def messages() -> list[str]:
            group = f"/aws/lambda/{function.name}"
            try:
                return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
            except ClientError:  # nothing was written yet
                return []

        wait_until(lambda: any("REPORT" in message for message in messages()), "the log", 60)
        (started,) = [message for message in messages() if message.startswith("INIT_START")]
        assert " in place of python:3.8" in started


def test_a_node_that_wants_exact_versions_refuses_and_says_what_to_do(tmp_path: Path) -> None:
    node = LocalNode.start(tmp_path / "data", arguments=["--runtimes", "exact"])
    try:
        client = node.client()
        with deploy_python(client, SOURCE, runtime=OLDEST_MISSING) as function, pytest.raises(ClientError) as refused:
            client.invoke(FunctionName=function.name)
        assert "lambdad does not provide the runtime python3.8. Runtimes here: " in str(refused.value)
    finally:
        assert node.stop() == []
