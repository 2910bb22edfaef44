"""The node as a whole: health, metrics, logs, restarts, crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdad.testing.deploying import Deployed, deploy_python
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

ECHO = "def handler(event, context):\n    return event\n"


def get(node: LocalNode, path: str) -> bytes:
    with urllib.request.urlopen(node.endpoint + path, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def child(node: LocalNode, role: str) -> int:
    """The process of a role."""
    for process in node.holdings().processes:
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"lambdad.node.{role}".encode() in words:
            return process.pid
    raise AssertionError(f"no {role} process")


def test_health_tells_what_the_node_can_run(node: LocalNode) -> None:
    told = json.loads(get(node, "/_lambdad/health"))
    assert told["status"] == "ok"
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert {own, "provided.al2023"} <= set(told["runtimes"])


def test_metrics_count_invocations_by_function(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        for _ in range(3):
            function.invoke({})
        text = get(node, "/metrics").decode()
        line = next(
            line for line in text.splitlines() if line.startswith("lambdad_invocations_total") and function.name in line
        )
        assert float(line.rsplit(" ", 1)[1]) == 3.0


def test_logs_of_a_function_are_on_disk_and_served(node: LocalNode, lambda_client: Any) -> None:
    source = "def handler(event, context):\n    print('line for the log')\n"
    with deploy_python(lambda_client, source) as function:
        outcome = function.invoke({})
        request_id = outcome.headers["x-amzn-requestid"]

        def messages() -> list[str]:
            return [json.loads(line)["message"] for line in get(node, f"/_lambdad/logs/{function.name}").splitlines()]

        wait_until(lambda: any("REPORT" in message for message in messages()), "the log on disk", 30)
        told = messages()
        assert f"START RequestId: {request_id} Version: $LATEST" in told
        assert "line for the log" in told


def test_code_can_be_downloaded_from_where_get_function_says(lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        location = lambda_client.get_function(FunctionName=function.name)["Code"]["Location"]
        with urllib.request.urlopen(location, timeout=30) as answer:
            assert answer.read(2) == b"PK"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(location.replace("token=", "token=0"), timeout=30)


def test_the_api_process_has_no_privileges(node: LocalNode) -> None:
    if os.geteuid() != 0:
        pytest.skip("lambdad is not started by root here: nothing to give up")
    status = Path(f"/proc/{child(node, 'api')}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    assert set(fields["Uid"].split()) != {"0"}
    assert int(fields["CapEff"], 16) == 0
    assert int(fields["CapPrm"], 16) == 0


@pytest.fixture
def own_node(tmp_path: Path) -> Any:
    """A node that a test may kill."""
    started = LocalNode.start(tmp_path / "data")
    yield started
    if started.process.poll() is None:
        assert started.stop() == []


def test_killing_the_worker_in_an_invoke_is_an_error_and_the_next_invoke_works(own_node: LocalNode) -> None:
    client = own_node.client()
    source = "import time\ndef handler(event, context):\n    time.sleep(event.get('sleep', 0))\n    return 'ok'\n"
    function = deploy_python(client, source, Timeout=60)
    function.invoke({})
    errors: list[ClientError] = []

    def long_invoke() -> None:
        try:
            function.invoke({"sleep": 50})
        except ClientError as error:
            errors.append(error)

    caller = threading.Thread(target=long_invoke)
    caller.start()
    wait_until(lambda: b'state="busy"} 1' in get(own_node, "/metrics"), "the invoke to run", 30)
    os.kill(child(own_node, "worker"), signal.SIGKILL)
    caller.join(30)
    assert [error.response["Error"]["Code"] for error in errors] == ["ServiceException"]

    def answers() -> bool:
        try:
            return bool(function.invoke({}).value == "ok")
        except ClientError:
            return False

    wait_until(answers, "the worker to be back", 60)


def test_killing_the_api_process_loses_no_function(own_node: LocalNode) -> None:
    client = own_node.client(retries={"max_attempts": 5})
    function = deploy_python(client, ECHO)
    os.kill(child(own_node, "api"), signal.SIGKILL)
    wait_until(lambda: _is_healthy(own_node), "the API process to be back", 60)
    assert Deployed(own_node.client(), function.name).invoke({"a": 1}).value == {"a": 1}


def test_killing_everything_loses_nothing_and_the_next_start_is_clean(tmp_path: Path) -> None:
    node = LocalNode.start(tmp_path / "data")
    names = [deploy_python(node.client(), ECHO).name for _ in range(2)]
    Deployed(node.client(), names[0]).invoke({})
    node.kill()
    with LocalNode.start(tmp_path / "data") as again:
        client = again.client()
        assert sorted(item["FunctionName"] for item in client.list_functions()["Functions"]) == sorted(names)
        assert Deployed(client, names[1]).invoke({"a": 1}).value == {"a": 1}
        assert again.stop() == []


def test_a_second_node_on_the_same_data_is_refused_with_a_reason(own_node: LocalNode) -> None:
    command = [sys.executable, "-m", "lambdad", "up", "--port", "0", "--data-dir", str(own_node.data_dir)]
    second = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert second.returncode == 1
    assert "another lambdad uses the data directory" in second.stderr


def test_stopping_waits_for_what_runs(tmp_path: Path) -> None:
    node = LocalNode.start(tmp_path / "data")
    source = "import time\ndef handler(event, context):\n    time.sleep(1.5)\n    return 'finished'\n"
    function = deploy_python(node.client(), source, Timeout=30)
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(function.invoke({}).value))
    caller.start()
    wait_until(lambda: b'state="busy"} 1' in get(node, "/metrics"), "the invoke to run", 30)
    assert node.stop() == []
    caller.join(30)
    assert answers == ["finished"]


def _is_healthy(node: LocalNode) -> bool:
    try:
        return b'"ok"' in get(node, "/_lambdad/health")
    except OSError:
        return False


def test_a_thousand_mixed_calls_leak_nothing(node: LocalNode, lambda_client: Any) -> None:
    """Good and bad calls, then the same number of processes, mounts, cgroups and descriptors as before."""
    with deploy_python(lambda_client, ECHO + "\n") as warm:
        warm.invoke({})
        _mixed_calls(lambda_client, 100)
        before = _footprint(node)
        _mixed_calls(lambda_client, 900)

        def settled() -> bool:
            now = _footprint(node)
            return all(now[kind] <= before[kind] + slack for kind, slack in SLACK.items())

        wait_until(settled, f"the footprint {_footprint(node)} to be as before: {before}", 60)


SLACK = {"processes": 4, "mounts": 2, "cgroups": 10, "api descriptors": 8, "worker descriptors": 30}
"""Sandboxes that are made ahead come and go."""


def _footprint(node: LocalNode) -> dict[str, int]:
    held = node.holdings()
    return {
        "processes": len(held.processes),
        "mounts": len(held.mounts),
        "cgroups": len(held.cgroups),
        "api descriptors": len(os.listdir(f"/proc/{child(node, 'api')}/fd")),
        "worker descriptors": len(os.listdir(f"/proc/{child(node, 'worker')}/fd")),
    }


def _mixed_calls(client: Any, count: int) -> None:
    function = deploy_python(client, "def handler(event, context):\n    return event['x']\n")
    bad = [
        lambda: client.invoke(FunctionName="nobody"),
        lambda: client.get_function(FunctionName="nobody"),
        lambda: client.invoke(FunctionName=function.name, Payload=b"{broken"),
        lambda: client.create_function(
            FunctionName="bad",
            Role="arn:aws:iam::000000000000:role/r",
            Code={"ZipFile": b"no zip"},
            Runtime="python3.11",
            Handler="a.b",
        ),
        lambda: client.create_alias(FunctionName=function.name, Name="x", FunctionVersion="99"),
    ]
    refused = 0
    for number in range(count):
        if number % 2:
            try:
                bad[number // 2 % len(bad)]()
            except ClientError:
                refused += 1
        else:
            function.invoke({"x": 1} if number % 4 else {})
    assert refused == count // 2
    client.delete_function(FunctionName=function.name)
