"""Extensions in real sandboxes: our examples, and those that misbehave."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.model.arn import Namespace
from lambdad.telemetry.log_store import LogStore
from lambdad.testing.deploying import Deployed, deploy_python, zip_of
from lambdad.testing.local_node import LocalNode
from lambdad.testing.telemetry_schema import check_event
from lambdad.testing.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
DEADLINE_S = 60.0
ECHO = "def handler(event, context):\n    print('the function')\n    return event\n"
CLIENT = """#!/usr/bin/env python3
import http.client, json, os, sys, time
def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, json.loads(answer.read())
def register(*events):
    status, headers, body = call("POST", "register", {"events": events}, {"Lambda-Extension-Name": "ext.py"})
    return {"Lambda-Extension-Identifier": headers.get("Lambda-Extension-Identifier", "")}, status, body
"""


class Logs:
    """The log of one function."""

    def __init__(self, node: LocalNode, function: Deployed) -> None:
        self._store = LogStore(node.data_dir / "logs")
        arn = function.client.get_function_configuration(FunctionName=function.name)["FunctionArn"]
        self._namespace = Namespace(arn.split(":")[4], arn.split(":")[3])
        self._group = f"/aws/lambda/{function.name}"

    def lines(self) -> list[str]:
        records = self._store.read(self._namespace, self._group)
        return [record.text for record in records]

    def wait_for(self, is_there: Callable[[str], bool]) -> str:
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in self.lines() if is_there(line)]
            return bool(found)

        wait_until(look, "a line in the log", DEADLINE_S)
        return found[0]


def layer(client: Any, name: str, content: bytes | str, mode: int = 0o755) -> str:
    """A layer with one extension; returns its ARN."""
    path = f"extensions/{name}"
    archive = zip_of({path: content}, {path: mode})
    answer = client.publish_layer_version(LayerName=f"l-{uuid.uuid4().hex[:12]}", Content={"ZipFile": archive})
    return str(answer["LayerVersionArn"])


def with_extension(client: Any, source: str, **options: Any) -> Deployed:
    """A function that returns its event, with the extension `ext.py`."""
    return deploy_python(client, ECHO, Layers=[layer(client, "ext.py", CLIENT + source)], **options)


def test_the_bash_example_hears_of_invocations_and_of_the_end(node: LocalNode, lambda_client: Any) -> None:
    script = (EXAMPLES / "extension-bash/extensions/lifecycle.sh").read_bytes()
    arn = layer(lambda_client, "lifecycle.sh", script)
    with deploy_python(lambda_client, ECHO, Layers=[arn], Timeout=30) as function:
        logs = Logs(node, function)
        for number in range(3):
            assert function.invoke(number).value == number
        logs.wait_for(lambda line: line.startswith("EXTENSION\tName: lifecycle.sh\tState: Ready\tEvents: [INVOKE,SHUT"))
        told = logs.wait_for(lambda line: line.startswith("[lifecycle.sh] {"))
        event = json.loads(told.removeprefix("[lifecycle.sh] "))
        assert event["eventType"] == "INVOKE"
        assert event["invokedFunctionArn"].endswith(f":function:{function.name}")
        assert event["deadlineMs"] > 0
        function.configure(Timeout=31)
        ended = logs.wait_for(lambda line: "shutting down" in line)
        assert '"shutdownReason":"spindown"' in ended


def test_the_python_example_receives_telemetry(node: LocalNode, lambda_client: Any) -> None:
    script = (EXAMPLES / "extension-python/extensions/telemetry.py").read_bytes()
    arn = layer(lambda_client, "telemetry.py", script)
    with deploy_python(lambda_client, ECHO, Layers=[arn], Timeout=30) as function:
        logs = Logs(node, function)
        assert function.invoke("x").value == "x"

        def has_all() -> bool:
            got = {event["type"]: event["record"] for event in _telemetry(logs)}
            return {
                "platform.initStart",
                "platform.initRuntimeDone",
                "platform.initReport",
                "platform.telemetrySubscription",
                "platform.extension",
                "platform.start",
                "platform.runtimeDone",
                "platform.report",
                "function",
            } <= got.keys()

        def invoked_until_all() -> bool:
            function.invoke("again")  # an idle sandbox may be frozen before its last batch is out
            return has_all()

        wait_until(invoked_until_all, "every kind of event", DEADLINE_S)
        events = _telemetry(logs)
        assert [problem for event in events for problem in check_event(event)] == []
        done, report = (
            next(event["record"] for event in events if event["type"] == f"platform.{kind}")
            for kind in ("runtimeDone", "report")
        )
        assert [span["name"] for span in done["spans"]] == ["responseLatency", "responseDuration", "runtimeOverhead"]
        assert sum(span["durationMs"] for span in done["spans"]) == pytest.approx(
            done["metrics"]["durationMs"], abs=0.01
        )
        assert done["metrics"]["producedBytes"] == len(b'"x"')
        assert [span["name"] for span in report["spans"]] == ["extensionOverhead"]
        assert "the function" in [event["record"] for event in _telemetry(logs) if event["type"] == "function"]


def _telemetry(logs: Logs) -> list[dict[str, Any]]:
    start = "[telemetry.py] "
    return [json.loads(line.removeprefix(start)) for line in logs.lines() if line.startswith(start)]


@pytest.mark.parametrize(
    ("ending", "message"),
    [("sys.exit(3)", "exit status 3"), ("sys.exit(0)", "exit code 0"), ("os.kill(os.getpid(), 9)", "signal: killed")],
)
def test_an_extension_that_ends_in_the_init_phase_fails_the_function(
    lambda_client: Any, ending: str, message: str
) -> None:
    with with_extension(lambda_client, f"register()\n{ending}\n", Timeout=30) as function:
        outcome = function.invoke(1)
        assert outcome.error == "Unhandled"
        assert outcome.value["errorType"] == "Extension.Crash"
        assert outcome.value["errorMessage"].endswith(f" Error: {message}")


def test_an_error_that_an_extension_reports_has_its_name(node: LocalNode, lambda_client: Any) -> None:
    source = """
own, _, _ = register("INVOKE")
call("POST", "init/error", {}, {**own, "Lambda-Extension-Function-Error-Type": "Extension.NoConfig"})
"""
    with with_extension(lambda_client, source, Timeout=30) as function:
        outcome = function.invoke(1)
        assert outcome.value["errorType"] == "Extension.InitError"
        Logs(node, function).wait_for(lambda line: "State: InitError" in line and "Extension.NoConfig" in line)


def test_an_extension_that_ends_in_an_invocation_fails_it_and_the_next_one_starts_anew(lambda_client: Any) -> None:
    source = """
own, _, _ = register("INVOKE")
call("GET", "event/next", None, own)
if not os.path.exists("/tmp/crashed"):
    open("/tmp/crashed", "w").close()
    sys.exit(1)
while True:
    call("GET", "event/next", None, own)
"""
    handler = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'ok'\n"
    arn = layer(lambda_client, "ext.py", CLIENT + source)
    with deploy_python(lambda_client, handler, Layers=[arn], Timeout=60) as function:
        assert function.invoke(50).value["errorType"] == "Extension.Crash"
        assert function.invoke(0).value == "ok"


def test_a_file_that_cannot_be_executed_is_a_launch_error(node: LocalNode, lambda_client: Any) -> None:
    arn = layer(lambda_client, "plain", "#!/bin/sh\n", mode=0o644)
    with deploy_python(lambda_client, ECHO, Layers=[arn], Timeout=30) as function:
        outcome = function.invoke(1)
        assert outcome.value["errorType"] == "Extension.LaunchError"
        assert outcome.value["errorMessage"].endswith("fork/exec /opt/extensions/plain: permission denied")
        Logs(node, function).wait_for(
            lambda line: line.endswith("State: LaunchError\tEvents: []\tError Type: PermissionDenied")
        )


def test_an_extension_that_never_registers_costs_ten_seconds_and_then_the_functions_timeout(
    node: LocalNode, lambda_client: Any
) -> None:
    with with_extension(lambda_client, "time.sleep(1000)\n", Timeout=1) as function:
        assert function.invoke(1).value["errorType"] == "Sandbox.Timedout"
        Logs(node, function).wait_for(lambda line: line.startswith("INIT_REPORT") and "Status: timeout" in line)


def test_registering_twice_is_refused_and_changes_nothing(node: LocalNode, lambda_client: Any) -> None:
    source = """
own, _, _ = register("INVOKE")
_, status, body = register("INVOKE")
print("again:", status, body["errorType"], flush=True)
while True:
    call("GET", "event/next", None, own)
"""
    with with_extension(lambda_client, source, Timeout=30) as function:
        assert function.invoke(1).value == 1
        Logs(node, function).wait_for(lambda line: line == "again: 403 Extension.InvalidExtensionState")


def test_the_answer_does_not_wait_for_an_extension_that_is_still_busy(lambda_client: Any) -> None:
    """And the sandbox does: the next invocation goes to another one."""
    source = """
own, _, _ = register("INVOKE")
while True:
    call("GET", "event/next", None, own)
    time.sleep(50)
"""
    handler = "import uuid\nME = str(uuid.uuid4())\ndef handler(event, context):\n    return ME\n"
    arn = layer(lambda_client, "ext.py", CLIENT + source)
    with deploy_python(lambda_client, handler, Layers=[arn], Timeout=60) as function:
        assert function.invoke(1).value != function.invoke(2).value


def test_an_internal_extension_takes_part(lambda_client: Any) -> None:
    source = (
        CLIENT.replace("ext.py", "inside")
        + """
import threading
own, status, body = register("INVOKE")
SEEN = []
def follow():
    while True:
        SEEN.append(call("GET", "event/next", None, own)[2]["requestId"])
threading.Thread(target=follow, daemon=True).start()
def handler(event, context):
    return [status, body["functionName"], register("INVOKE")[2]["errorType"]]
"""
    )
    with deploy_python(lambda_client, source, Timeout=30) as function:
        assert function.invoke(1).value == [200, function.name, "Extension.InvalidExtensionState"]
