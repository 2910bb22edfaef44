"""JSON logs and their levels, whole: set with the Lambda API, written by real runtimes, read as CloudWatch Logs."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from lambdad.testing.deploying import Deployed, deploy, deploy_bootstrap, deploy_python
from lambdad.testing.local_node import REGION, LocalNode
from lambdad.testing.waiting import wait_until

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
PYTHON = """
import logging
logger = logging.getLogger()
def handler(event, context):
    for number in (10, 20, 30, 40, 50):
        logger.log(number, "of %d", number, extra={"more": 1})
    print("printed")
    if event.get("fail"):
        raise KeyError("no")
"""
NODE = """
exports.handler = async () => {
  for (const name of ["trace", "debug", "info", "warn", "error"]) console[name]("of %s", name);
  process.stdout.write("printed\\n");
};
"""
BASH = r"""#!/bin/bash
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
  head=$(mktemp); curl -sSL -D "$head" "$api/next" >/dev/null
  id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$head" | tr -d '[:space:]' | cut -d: -f2)
  for level in TRACE DEBUG INFO WARN ERROR FATAL; do
    echo '{"timestamp":"2026-01-31T23:59:59Z","level":"'$level'","message":"of a script"}'
  done
  echo printed
  curl -sS -X POST "$api/$id/response" -d '{}' >/dev/null
done
"""


class LogGroup:
    """The log of one function as CloudWatch Logs shows it."""

    def __init__(self, node: LocalNode, function: Deployed) -> None:
        self._client = boto3.client(
            "logs",
            endpoint_url=node.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self._name = f"/aws/lambda/{function.name}"

    def messages(self) -> list[str]:
        try:
            pages = self._client.get_paginator("filter_log_events").paginate(logGroupName=self._name)
            return [event["message"].rstrip("\n") for page in pages for event in page["events"]]
        except self._client.exceptions.ResourceNotFoundException:
            return []

    def wait_for(self, kind: str) -> list[Any]:
        """All records once there is one of the platform of this kind; text that is no JSON stays text."""
        wait_until(lambda: any(f'"{kind}"' in line for line in self.messages()), kind, 60)
        return [json.loads(line) if line.startswith("{") else line for line in self.messages()]


def levels_of(records: list[Any]) -> list[str]:
    return [record["level"] for record in records if isinstance(record, dict) and "level" in record]


def logging(level: str, system: str = "INFO") -> dict[str, str]:
    return {"LogFormat": "JSON", "ApplicationLogLevel": level, "SystemLogLevel": system}


@pytest.mark.parametrize(("level", "seen"), [("TRACE", 5), ("WARN", 3), ("FATAL", 1)])
def test_python_logs_from_its_level_on(node: LocalNode, lambda_client: Any, level: str, seen: int) -> None:
    with deploy_python(lambda_client, PYTHON, LoggingConfig=logging(level), Timeout=30) as function:
        function.invoke({})
        records = LogGroup(node, function).wait_for("platform.report")
        assert levels_of(records) == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"][-seen:]
        assert ("printed" in records) is (level == "TRACE"), "what has no level is information"
        ours = next(record for record in records if isinstance(record, dict) and "level" in record)
        assert {"timestamp", "message", "requestId", "more"} <= ours.keys()


def test_an_error_of_a_handler_is_a_record_of_its_level(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, PYTHON, LoggingConfig=logging("ERROR"), Timeout=30) as function:
        assert function.invoke({"fail": True}).error == "Unhandled"
        records = LogGroup(node, function).wait_for("platform.report")
        [failure] = [record for record in records if isinstance(record, dict) and "errorType" in record]
        assert (failure["level"], failure["errorType"]) == ("ERROR", "KeyError")


@pytest.mark.parametrize(("level", "seen"), [("TRACE", 5), ("WARN", 2)])
def test_node_logs_from_its_level_on(node: LocalNode, lambda_client: Any, level: str, seen: int) -> None:
    options: dict[str, Any] = {"LoggingConfig": logging(level), "Timeout": 30}
    with deploy(lambda_client, {"app.js": NODE}, runtime="nodejs20.x", **options) as function:
        function.invoke({})
        records = LogGroup(node, function).wait_for("platform.report")
        assert levels_of(records) == ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"][-seen:]


def test_the_platform_reads_the_level_of_a_custom_runtimes_records(node: LocalNode, lambda_client: Any) -> None:
    with deploy_bootstrap(lambda_client, BASH, LoggingConfig=logging("ERROR"), Timeout=30) as function:
        function.invoke({})
        records = LogGroup(node, function).wait_for("platform.report")
        assert levels_of(records) == ["ERROR", "FATAL"]
        assert "printed" not in records


@pytest.mark.parametrize(
    ("system", "kinds"),
    [
        ("DEBUG", ["initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"]),
        ("INFO", ["initStart", "start", "report"]),
    ],
)
def test_records_of_the_platform_have_levels_of_their_own(
    node: LocalNode, lambda_client: Any, system: str, kinds: list[str]
) -> None:
    source = "def handler(event, context):\n    pass\n"
    with deploy_python(lambda_client, source, LoggingConfig=logging("INFO", system), Timeout=30) as function:
        function.invoke({})
        records = LogGroup(node, function).wait_for("platform.report")
        assert [record["type"] for record in records] == [f"platform.{kind}" for kind in kinds]


def test_of_what_went_wrong_the_platform_tells_at_every_level(node: LocalNode, lambda_client: Any) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(60)\n"
    with deploy_python(lambda_client, source, LoggingConfig=logging("FATAL", "WARN"), Timeout=1) as function:
        assert function.invoke({}).value["errorType"] == "Sandbox.Timedout"
        records = LogGroup(node, function).wait_for("platform.report")
        assert [record["type"] for record in records] == ["platform.runtimeDone", "platform.report"]
        assert {record["record"]["status"] for record in records} == {"timeout"}
