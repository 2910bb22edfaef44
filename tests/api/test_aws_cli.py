"""The real AWS CLI, end to end: create, wait, invoke with a log tail, publish, alias, delete; Python, Node and bash."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from awscli.clidriver import create_clidriver

from lambdad.testing.deploying import ROLE, zip_of
from lambdad.testing.local_node import REGION, LocalNode

BASH = """#!/bin/bash
set -euo pipefail
API="http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation"
while true; do
  HEADERS=$(mktemp)
  EVENT=$(curl -sS -D "$HEADERS" "$API/next")
  ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
  echo "working" >&2
  curl -sS -X POST "$API/$ID/response" -d "$EVENT" > /dev/null
done
"""
NODE = "export const handler = async (event) => { console.log('working'); return event; };\n"
PYTHON = "def handler(event, context):\n    print('working')\n    return event\n"

CASES = {
    "python": ("python3.11", "app.handler", {"app.py": PYTHON}, {}),
    "node": ("nodejs20.x", "index.handler", {"index.mjs": NODE}, {}),
    "bash": ("provided.al2023", "any", {"bootstrap": BASH}, {"bootstrap": 0o755}),
}


class Cli:
    """`aws lambda`, pointed at a node."""

    def __init__(self, node: LocalNode, directory: Path) -> None:
        self._directory = directory
        self._program = str(Path(sys.executable).parent / "aws")
        self.environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_LAMBDA": node.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_PAGER": "",
            "HOME": str(directory),
        }

    def __call__(self, *arguments: str) -> Any:
        run = subprocess.run(
            [self._program, "lambda", *arguments, "--output", "json"],
            capture_output=True,
            cwd=self._directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr.decode()
        return json.loads(run.stdout) if run.stdout.strip() else None


@pytest.mark.parametrize("language", CASES)
def test_the_aws_cli_takes_a_function_from_creation_to_deletion(node: LocalNode, tmp_path: Path, language: str) -> None:
    aws = Cli(node, tmp_path)
    runtime, handler, files, modes = CASES[language]
    name = f"cli-{language}-{uuid.uuid4().hex[:8]}"
    (tmp_path / "code.zip").write_bytes(zip_of(files, modes))
    created = aws(
        "create-function",
        "--function-name", name,
        "--runtime", runtime,
        "--handler", handler,
        "--role", ROLE,
        "--zip-file", "fileb://code.zip",
        "--timeout", "30",
        "--memory-size", "256",
    )  # fmt: skip
    assert created["State"] == "Pending"
    aws("wait", "function-active-v2", "--function-name", name)
    answer = aws(
        "invoke",
        "--function-name", name,
        "--log-type", "Tail",
        "--cli-binary-format", "raw-in-base64-out",
        "--payload", '{"number": 1}',
        "answer.json",
    ) if _is_version_2(aws) else aws(
        "invoke", "--function-name", name, "--log-type", "Tail", "--payload", '{"number": 1}', "answer.json"
    )  # fmt: skip
    assert json.loads((tmp_path / "answer.json").read_text()) == {"number": 1}
    assert "FunctionError" not in answer
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "START RequestId: " in log
    assert "working" in log
    assert "REPORT RequestId: " in log
    assert aws("publish-version", "--function-name", name)["Version"] == "1"
    alias = aws("create-alias", "--function-name", name, "--name", "live", "--function-version", "1")
    assert alias["AliasArn"].endswith(f":function:{name}:live")
    answer = aws("invoke", "--function-name", f"{name}:live", "--payload", "{}", "answer.json")
    assert answer["ExecutedVersion"] == "1"
    assert [
        version["Version"] for version in aws("list-versions-by-function", "--function-name", name)["Versions"]
    ] == [
        "$LATEST",
        "1",
    ]
    aws("delete-function", "--function-name", name)
    assert name not in [function["FunctionName"] for function in aws("list-functions")["Functions"]]


def _is_version_2(aws: Cli) -> bool:
    """Version 2, which PyPI does not have, reads payloads as base64 unless told otherwise."""
    run = subprocess.run([aws._program, "--version"], capture_output=True, text=True, timeout=60)
    return run.stdout.startswith("aws-cli/2")


COMMON = """
    update-function-configuration --function-name {f} --timeout 9 --environment Variables={{STAGE=test}}
    wait function-updated-v2 --function-name {f}
    update-function-code --function-name {f} --zip-file fileb://code.zip --publish
    wait function-updated-v2 --function-name {f}
    get-function --function-name {f}
    get-function-configuration --function-name {f} --query Timeout
    list-functions --max-items 1
    list-versions-by-function --function-name {f}
    create-alias --function-name {f} --name live --function-version 1
    update-alias --function-name {f} --name live --routing-config AdditionalVersionWeights={{}}
    list-aliases --function-name {f}
    add-permission --function-name {f} --statement-id s --action lambda:InvokeFunction --principal s3.amazonaws.com
    get-policy --function-name {f}
    remove-permission --function-name {f} --statement-id s
    put-function-concurrency --function-name {f} --reserved-concurrent-executions 2
    get-function-concurrency --function-name {f}
    delete-function-concurrency --function-name {f}
    put-function-event-invoke-config --function-name {f} --maximum-retry-attempts 0
    list-function-event-invoke-configs --function-name {f}
    create-function-url-config --function-name {f} --auth-type NONE --cors AllowOrigins=https://example.com
    list-function-url-configs --function-name {f}
    delete-function-url-config --function-name {f}
    tag-resource --resource {arn} --tags team=a,stage=test
    list-tags --resource {arn} --query Tags.team
    untag-resource --resource {arn} --tag-keys team stage
    publish-layer-version --layer-name {f} --zip-file fileb://code.zip --compatible-runtimes python3.11
    list-layers --compatible-runtime python3.11 --max-items 1
    list-layer-versions --layer-name {f}
    get-layer-version --layer-name {f} --version-number 1
    delete-layer-version --layer-name {f} --version-number 1
    create-event-source-mapping --function-name {f} --event-source-arn {queue} --no-enabled --batch-size 5
    list-event-source-mappings --function-name {f} --query EventSourceMappings[0].BatchSize
    get-account-settings
    invoke --function-name {f} --invocation-type DryRun dry.json
    invoke --function-name {f} --invocation-type Event --payload {{}} event.json
    delete-alias --function-name {f} --name live
    delete-function --function-name {f}
"""
"""As they are typed, one a line."""
PRINTED = {"get-function-configuration": "9", "list-tags": '"a"', "list-event-source-mappings": "5"}


def test_the_common_commands_of_the_cli_work(
    node: LocalNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: starting the CLI takes longer than what it does."""
    name = f"cli-{uuid.uuid4().hex[:8]}"
    arn = f"arn:aws:lambda:{REGION}:000000000000:function:{name}"
    aws = Cli(node, tmp_path)
    (tmp_path / "code.zip").write_bytes(zip_of({"app.py": PYTHON}))
    options = ["--function-name", name, "--runtime", "python3.11", "--handler", "app.handler", "--role", ROLE]
    aws("create-function", *options, "--zip-file", "fileb://code.zip")
    aws("wait", "function-active-v2", "--function-name", name)
    monkeypatch.chdir(tmp_path)
    for variable, value in aws.environment.items():
        monkeypatch.setenv(variable, value)
    for line in COMMON.strip().splitlines():
        command = line.format(f=name, arn=arn, queue=f"arn:aws:sqs:{REGION}:000000000000:{name}").split()
        code = create_clidriver().main(["lambda", *command, "--output", "json"])
        told = capsys.readouterr()
        assert code == 0, f"{command}: {told.err}"
        assert told.out.strip() == PRINTED.get(command[0], told.out.strip())
    assert name not in [function["FunctionName"] for function in aws("list-functions")["Functions"]]
