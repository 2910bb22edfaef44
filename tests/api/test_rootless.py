"""`lambdad up` as an ordinary user, without sudo: functions run in user namespaces, and it says what is weaker."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.testing import probes
from lambdad.testing.deploying import deploy_bootstrap, deploy_python
from lambdad.testing.local_node import LocalNode

UID = 4321
AS_USER = f"""
import os, sys
from lambdad.node.privileges import open_ways, python_places
open_ways(python_places())
os.setgroups([])
os.setresgid({UID}, {UID}, {UID})
os.setresuid({UID}, {UID}, {UID})
os.environ["HOME"] = os.environ["TMPDIR"] = sys.argv.pop(1)
os.execv(sys.executable, [sys.executable, "-m", "lambdad", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def user_node() -> Iterator[LocalNode]:
    answer = probes.can_make_user_namespaces()
    if not answer:
        pytest.skip(answer.reason)
    home = Path(tempfile.mkdtemp(prefix="lambdad-rootless-"))
    command = [sys.executable, "-m", "lambdad"]
    if os.geteuid() == 0:
        home.chmod(0o755)
        data = home / "data"
        data.mkdir()
        for place in (home, data):
            os.chown(place, UID, UID)
        command = [sys.executable, "-c", AS_USER, str(home)]
    try:
        node = LocalNode.start(home / "data", command=command)
        yield node
        assert node.stop() == []
    finally:
        shutil.rmtree(home)


def test_functions_run_without_root(user_node: LocalNode) -> None:
    client = user_node.client()
    source = "import os\ndef handler(event, context):\n    return [event, os.getuid(), os.listdir('/var/task')]\n"
    with deploy_python(client, source, Timeout=30) as function:
        assert function.invoke({"a": 1}).value == [{"a": 1}, 993, ["app.py"]]
        assert function.invoke({"a": 2}).value[0] == {"a": 2}
    script = """#!/bin/bash
API="http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation"
while true; do
  HEADERS=$(mktemp)
  EVENT=$(curl -sS -D "$HEADERS" "$API/next")
  ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
  curl -sS -X POST "$API/$ID/response" -d "$EVENT" > /dev/null
done
"""
    with deploy_bootstrap(client, script, Timeout=30) as function:
        assert function.invoke({"b": 1}).value == {"b": 1}


def test_what_is_weaker_is_said(user_node: LocalNode) -> None:
    with urllib.request.urlopen(f"{user_node.endpoint}/_lambdad/health", timeout=30) as answer:
        told = json.loads(answer.read())
    assert any("root" in weakness for weakness in told["weaknesses"])


def test_the_hosts_files_stay_out_of_reach_without_root(user_node: LocalNode) -> None:
    source = """
import os
def handler(event, context):
    seen = {}
    for path in event:
        try:
            seen[path] = os.listdir(path) if os.path.isdir(path) else open(path).read(10)
        except OSError as error:
            seen[path] = None
    return seen
"""
    with deploy_python(user_node.client(), source, Timeout=30) as function:
        paths = ["/etc/shadow", "/home", str(user_node.data_dir), "/sys/fs/cgroup", "/var/lib"]
        assert {path: seen for path, seen in function.invoke(paths).value.items() if seen} == {}
