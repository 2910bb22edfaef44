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
        self._environment = {
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
            env=self._environment,
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
