"""`lambdad deploy` with templates against a node, as its user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.testing.local_node import LocalNode

TEMPLATE = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
Globals:
  Function: {Runtime: python3.11, Timeout: 10, Environment: {Variables: {STAGE: !Ref Stage}}}
Resources:
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layer/}
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: hello/
      Handler: app.handler
      AutoPublishAlias: live
      Layers: [!Ref Shared]
      FunctionUrlConfig: {AuthType: NONE}
      EventInvokeConfig: {MaximumRetryAttempts: 0}
      ReservedConcurrentExecutions: 2
  Inline:
    Type: AWS::Serverless::Function
    Properties:
      Handler: index.handler
      InlineCode: |
        import os
        def handler(event, context):
            return os.environ["OTHER"]
      Environment: {Variables: {OTHER: !GetAtt Hello.Arn}}
Outputs:
  Url: {Value: !GetAtt HelloUrl.FunctionUrl}
"""

APP = """
import os, shared
def handler(event, context):
    return [shared.WORD, os.environ["STAGE"], "one"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / f"stack-{uuid.uuid4().hex[:8]}"
    (directory / "hello").mkdir(parents=True)
    (directory / "layer/python").mkdir(parents=True)
    (directory / "template.yaml").write_text(TEMPLATE)
    (directory / "hello/app.py").write_text(APP)
    (directory / "layer/python/shared.py").write_text("WORD = 'shared'\n")
    return directory


@pytest.fixture
def stack(project: Path, lambda_client: Any) -> Iterator[str]:
    yield project.name
    for name in ("Hello", "Inline"):
        try:
            lambda_client.delete_function(FunctionName=f"{project.name}-{name}")
        except lambda_client.exceptions.ResourceNotFoundException:
            continue


def _command(node: LocalNode, project: Path, *arguments: str) -> list[str]:
    template = str(project / "template.yaml")
    return [sys.executable, "-m", "lambdad", "deploy", "--template", template, "--endpoint", node.endpoint, *arguments]


def _deploy(node: LocalNode, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = _command(node, project, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def _deployed(node: LocalNode, project: Path, *arguments: str) -> dict[str, Any]:
    done = _deploy(node, project, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _invoke(client: Any, name: str, **request: Any) -> Any:
    answer = client.invoke(FunctionName=name, **request)
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def test_a_sam_template_is_deployed_changed_and_found_unchanged(
    node: LocalNode, lambda_client: Any, project: Path, stack: str
) -> None:
    first = _deployed(node, project)
    assert first["Resources"]["Hello"]["Change"] == "created"
    assert ".lambda-url.us-east-1." in first["Outputs"]["Url"]
    assert _invoke(lambda_client, f"{stack}-Hello", Qualifier="live") == ["shared", "dev", "one"]
    assert _invoke(lambda_client, f"{stack}-Inline").endswith(f":function:{stack}-Hello")
    reserved = lambda_client.get_function_concurrency(FunctionName=f"{stack}-Hello")
    assert reserved["ReservedConcurrentExecutions"] == 2

    (project / "hello/app.py").write_text(APP.replace("one", "two"))
    second = _deployed(node, project, "--parameter", "Stage=prod")
    assert second["Resources"]["Hello"]["Change"] == "updated"
    assert _invoke(lambda_client, f"{stack}-Hello", Qualifier="live") == ["shared", "prod", "two"]

    third = _deployed(node, project, "--parameter", "Stage=prod")
    changes = {item["Change"] for item in third["Resources"].values() if item["Type"] == "AWS::Lambda::Function"}
    assert changes == {"unchanged"}
    layer = next(item for name, item in third["Resources"].items() if name.startswith("Shared"))
    assert layer["Change"] == "unchanged"


def test_what_lambdad_does_not_have_stops_it_before_anything_is_changed(
    node: LocalNode, lambda_client: Any, project: Path, stack: str
) -> None:
    event = "\n      Events: {Call: {Type: Api, Properties: {Path: /hello, Method: get}}}\n      Handler: app.handler\n"
    (project / "template.yaml").write_text(TEMPLATE.replace("\n      Handler: app.handler\n", event, 1))
    refused = _deploy(node, project)
    assert refused.returncode == 1
    assert "ServerlessRestApi (AWS::ApiGateway::RestApi)" in refused.stderr
    assert "Nothing was changed" in refused.stderr
    with pytest.raises(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.get_function(FunctionName=f"{stack}-Hello")
    assert _deploy(node, project, "--skip-unsupported").returncode == 0
    assert _invoke(lambda_client, f"{stack}-Hello") == ["shared", "dev", "one"]


def test_a_broken_template_is_told_in_one_line(node: LocalNode, project: Path) -> None:
    (project / "template.yaml").write_text(TEMPLATE.replace("!Ref Shared", "!Ref Nowhere"))
    refused = _deploy(node, project)
    assert refused.returncode == 1
    assert "Nowhere" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("stack")
def test_watching_deploys_every_change(node: LocalNode, lambda_client: Any, project: Path) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    watching = subprocess.Popen(
        _command(node, project, "--watch"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    guard = threading.Timer(120, watching.kill)
    guard.start()
    try:
        assert watching.stderr is not None
        assert next(watching.stderr).startswith("watching ")
        (project / "hello/app.py").write_text(APP.replace("one", "three"))
        assert any(line.startswith("deployed in") for line in watching.stderr)
        assert _invoke(lambda_client, f"{project.name}-Hello", Qualifier="live") == ["shared", "dev", "three"]
    finally:
        guard.cancel()
        watching.terminate()
        watching.wait(timeout=60)
        if watching.stderr is not None:
            watching.stderr.close()
