"""SnapStart on a real node: one init phase, many sandboxes, and what happens when a part of it fails."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.model.arn import Namespace
from lambdad.telemetry.log_store import LogStore
from lambdad.testing.deploying import Deployed, Outcome, deploy, deploy_python, zip_of
from lambdad.testing.local_node import LocalNode
from lambdad.testing.probes import can_make_namespaces, can_mount_loop, is_root, skip_unless
from lambdad.testing.telemetry_schema import check_event
from lambdad.testing.waiting import wait_until

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_make_namespaces(), can_mount_loop())]

DEADLINE_S = 60.0
SNAP_START = {"ApplyOn": "PublishedVersions"}
SOURCE = """
import os, random, secrets, ssl, uuid
from snapshot_restore_py import register_after_restore, register_before_snapshot

made = random.random()
order = []
with open("/tmp/made", "w") as file:
    file.write("init")
register_before_snapshot(order.append, "before 1")
register_before_snapshot(order.append, "before 2")
register_after_restore(order.append, "after 1")
register_after_restore(order.append, "after 2")

def handler(event, context):
    if event.get("end"):
        os._exit(3)
    found = sorted(os.listdir("/tmp"))
    open("/tmp/own", "w").close()
    return {
        "made": made, "order": order, "files": found, "stream": context.log_stream_name,
        "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "draws": [random.random(), secrets.token_hex(), str(uuid.uuid4()), ssl.RAND_bytes(16).hex()],
    }
"""


def publish(function: Deployed, version: str = "1") -> Any:
    """Publish, and wait until the version has settled. Returns its configuration."""
    assert function.client.publish_version(FunctionName=function.name)["State"] == "Pending"

    def configuration() -> Any:
        return function.client.get_function_configuration(FunctionName=function.name, Qualifier=version)

    wait_until(lambda: configuration()["State"] != "Pending", "the version settles", DEADLINE_S)
    return configuration()


def call(function: Deployed, event: str = "{}", version: str = "1") -> Outcome:
    answer = function.client.invoke(FunctionName=function.name, Qualifier=version, Payload=event, LogType="Tail")
    return Outcome(answer)


@pytest.fixture
def restored(lambda_client: Any) -> Iterator[Deployed]:
    with deploy_python(lambda_client, SOURCE, SnapStart=SNAP_START, Timeout=30) as function:
        shown = publish(function)
        assert (shown["State"], shown.get("StateReason")) == ("Active", None)
        assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
        yield function


def test_sandboxes_of_one_snapshot_share_its_init_phase_and_draw_their_own_numbers(restored: Deployed) -> None:
    first = call(restored)
    assert "Restore Duration" in base64.b64decode(first.log_result or "").decode()
    assert call(restored, '{"end": true}').error == "Unhandled"
    second = call(restored)  # the process of the first has ended: this is another fork, with the same /tmp
    assert first.value["order"] == second.value["order"] == ["before 2", "before 1", "after 1", "after 2"]
    assert first.value["made"] == second.value["made"]
    assert first.value["files"] == ["made"]
    assert second.value["files"] == ["made", "own"]
    assert first.value["type"] == "snap-start"
    assert first.value["stream"]
    assert not set(first.value["draws"]) & set(second.value["draws"])


def test_a_version_without_a_snapshot_cannot_be_invoked_until_it_is_made(lambda_client: Any) -> None:
    source = "import time\ntime.sleep(3)\ndef handler(event, context):\n    return 1\n"
    with deploy_python(lambda_client, source, SnapStart=SNAP_START, Timeout=30) as function:
        assert publish(function)["State"] == "Active"
        assert call(function).value == 1


def test_an_init_phase_that_fails_fails_the_version(lambda_client: Any) -> None:
    with deploy_python(lambda_client, "raise ValueError('no')\n", SnapStart=SNAP_START) as function:
        shown = publish(function)
        assert shown["State"] == "Failed"
        assert shown["StateReasonCode"] == "FunctionError.RuntimeInitError"


def test_a_hook_that_fails_after_a_restore_is_a_snapstart_exception(lambda_client: Any) -> None:
    source = (
        "from snapshot_restore_py import register_after_restore\n"
        "@register_after_restore\ndef hook():\n    raise ValueError('no')\n"
        "def handler(event, context):\n    return 1\n"
    )
    with deploy_python(lambda_client, source, SnapStart=SNAP_START) as function:
        assert publish(function)["State"] == "Active"
        with pytest.raises(lambda_client.exceptions.SnapStartException) as failure:
            call(function)
        assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_hook_that_fails_before_the_snapshot_fails_the_version(lambda_client: Any) -> None:
    source = (
        "from snapshot_restore_py import register_before_snapshot\n"
        "@register_before_snapshot\ndef hook():\n    raise ValueError('no')\n"
        "def handler(event, context):\n    return 1\n"
    )
    with deploy_python(lambda_client, source, SnapStart=SNAP_START) as function:
        shown = publish(function)
        assert shown["State"] == "Failed"
        assert "Runtime.BeforeSnapshotError" in shown["StateReason"]


def test_a_json_log_tells_of_the_restore_in_the_schema_of_telemetry(node: LocalNode, lambda_client: Any) -> None:
    logging = {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"}
    source = "def handler(event, context):\n    return 1\n"
    with deploy_python(lambda_client, source, SnapStart=SNAP_START, LoggingConfig=logging) as function:
        assert publish(function)["State"] == "Active"
        call(function)
        lines, told = Lines(node, function.name), []

        def has_reported() -> bool:
            told[:] = [json.loads(line) for line in lines()]
            return any(event["type"] == "platform.report" for event in told)

        wait_until(has_reported, "a report", DEADLINE_S)
        assert [problem for event in told for problem in check_event(event)] == []
        kinds = [event["type"].removeprefix("platform.") for event in told]
        assert sorted(kinds[:3]) == ["initReport", "initRuntimeDone", "initStart"]
        assert kinds[3:] == ["restoreStart", "restoreRuntimeDone", "restoreReport", "start", "runtimeDone", "report"]
        metrics = told[-1]["record"]["metrics"]
        assert metrics["billedRestoreDurationMs"] >= metrics["restoreDurationMs"] > 0


def test_the_unpublished_function_starts_as_all_others_do(restored: Deployed) -> None:
    assert restored.invoke({}).value["type"] == "on-demand"


def test_a_deleted_version_leaves_no_snapshot(restored: Deployed) -> None:
    call(restored)
    restored.client.delete_function(FunctionName=restored.name, Qualifier="1")
    with pytest.raises(restored.client.exceptions.ResourceNotFoundException):
        call(restored)


def test_a_function_that_cannot_be_forked_is_initialised_before_anybody_calls(
    node: LocalNode, lambda_client: Any
) -> None:
    """One with an extension, for that is a process beside the function's: its version has an environment ready."""
    script = (Path(__file__).parents[2] / "examples/extension-bash/extensions/lifecycle.sh").read_bytes()
    archive = zip_of({"extensions/lifecycle.sh": script}, {"extensions/lifecycle.sh": 0o755})
    layer = lambda_client.publish_layer_version(LayerName="t-snapstart", Content={"ZipFile": archive})
    source = "import os, time\nmade = time.time()\ndef handler(event, context):\n    return made\n"
    options: dict[str, Any] = {"Layers": [layer["LayerVersionArn"]], "Timeout": 30}
    with deploy_python(lambda_client, source, SnapStart=SNAP_START, **options) as function:
        shown = publish(function)
        assert (shown["State"], shown["SnapStart"]["OptimizationStatus"]) == ("Active", "On")
        assert "initialised ahead" in shown["StateReason"]
        assert "extensions cannot be forked" in shown["StateReason"]
        lines = Lines(node, function.name)
        wait_until(lambda: any(line.startswith("INIT_REPORT") for line in lines()), "the init phase", DEADLINE_S)
        assert not any(line.startswith("START") for line in lines())
        before = time.time()
        first = call(function)
        assert first.value < before
        assert not {"init", "sandbox"} & first.timings.keys()
        assert "Init Duration" not in base64.b64decode(first.log_result or "").decode()
        wait_until(lambda: sum(line.startswith("INIT_REPORT") for line in lines()) == 2, "the next one", DEADLINE_S)


class Lines:
    """The log of a function."""

    def __init__(self, node: LocalNode, function: str) -> None:
        self._store = LogStore(node.data_dir / "logs")
        self._group = f"/aws/lambda/{function}"

    def __call__(self) -> list[str]:
        return [record.text for record in self._store.read(Namespace("0" * 12, "us-east-1"), self._group)]


def test_a_runtime_that_cannot_be_forked_says_so_and_runs(lambda_client: Any) -> None:
    files = {"index.mjs": "export const handler = async () => 1;\n"}
    try:
        function = deploy(lambda_client, files, runtime="nodejs20.x", handler="index.handler", SnapStart=SNAP_START)
    except lambda_client.exceptions.InvalidParameterValueException as refusal:
        assert "not supported for SnapStart" in str(refusal)
        return
    function.client.delete_function(FunctionName=function.name)
