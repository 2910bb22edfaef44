"""SIGKILL for a sandbox, the worker or everything, in the middle of a stream, an event and a restore: nine times.

Each time the caller hears of it in words, the next call is answered, and nothing is left at the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError
from tests.api.test_node import child

from lambdad.model.arn import Namespace
from lambdad.telemetry.log_store import LogStore
from lambdad.testing.deploying import Deployed, deploy_python
from lambdad.testing.local_node import LocalNode
from lambdad.testing.probes import can_make_namespaces, can_mount_loop, is_root, skip_unless
from lambdad.testing.waiting import wait_until

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_make_namespaces(), can_mount_loop())]

DEADLINE_S = 90.0
VICTIMS = pytest.mark.parametrize("victim", ["sandbox", "worker", "everything"])
HOLD = """
import os, signal, time
def hold(where, seconds=60):
    "Goes on at once, or says where it is and waits to be killed; the sandbox kills itself."
    print("holds", where)
    if where == "sandbox":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(where != "" and seconds)
"""
STREAM = (
    HOLD
    + """
def handler(event, context):
    yield "first;"
    hold(event.get("victim", ""))
    yield "last"
"""
)
EVENT = (
    HOLD
    + """
def handler(event, context):
    if not os.path.exists("/tmp/seen"):
        open("/tmp/seen", "w").close()
        hold(event["victim"], 3)
    return "done"
"""
)
RESTORE = (
    HOLD
    + """
from snapshot_restore_py import register_after_restore
@register_after_restore
def hook():
    hold(os.environ["VICTIM"])
def handler(event, context):
    return "done"
"""
)


class Scene:
    """One node for all nine; where everything is killed, another one on the same data."""

    def __init__(self, place: Path) -> None:
        self._place = place
        (place / "lambdad.toml").write_text("retry_delays = [0.1, 0.1]\nprepared = 1\n")
        self.node = self._start()

    def _start(self) -> LocalNode:
        return LocalNode.start(self._place / "data", arguments=("--config", str(self._place / "lambdad.toml")))

    def deploy(self, source: str, **options: Any) -> Deployed:
        return deploy_python(self.node.client(), source, Timeout=120, **options)

    def strike(self, victim: str) -> None:
        """Kill; what a sandbox does to itself has happened."""
        if victim == "worker":
            os.kill(child(self.node, "worker"), signal.SIGKILL)
        elif victim == "everything":
            self.node.kill()
            self.node = self._start()

    def again(self, function: Deployed) -> Deployed:
        """The same function, of the node that lives."""
        return Deployed(self.node.client(), function.name)

    def wait_until_it_holds(self, function: Deployed, victim: str) -> None:
        store = LogStore(self.node.data_dir / "logs")
        group = f"/aws/lambda/{function.name}"

        def holds() -> bool:
            records = store.read(Namespace("0" * 12, "us-east-1"), group)
            return any(record.text == f"holds {victim}" for record in records)

        wait_until(holds, "the moment for the kill", DEADLINE_S)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("kills"))
    yield made
    assert made.node.stop() == []


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Runs a call that will be interrupted; its outcome, or the error that it ends with, comes into the list."""
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(work())
        except Exception as error:  # whatever boto3 and urllib3 make of a node that dies
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcomes


def answers(function: Deployed, expected: bytes, **options: Any) -> None:
    """Sooner or later, once the worker is back."""

    def does() -> bool:
        try:
            return bool(function.invoke({}, **options).body == expected)
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("ServiceException", "SnapStartNotReadyException"), error
            return False

    wait_until(does, "an answer after the kill", DEADLINE_S)


@VICTIMS
def test_in_the_middle_of_a_stream(scene: Scene, victim: str) -> None:
    function = scene.deploy(STREAM)

    def call() -> list[Any]:
        answer = function.client.invoke_with_response_stream(
            FunctionName=function.name, Payload=f'{{"victim": "{victim}"}}'
        )
        with contextlib.closing(answer["EventStream"]) as stream:  # one that breaks off is the caller's to close
            return list(stream)

    caller, outcomes = in_thread(call)
    scene.wait_until_it_holds(function, victim)
    scene.strike(victim)
    caller.join(DEADLINE_S)
    [outcome] = outcomes
    match victim:
        case "sandbox":
            assert isinstance(outcome, list)
            assert outcome[-1]["InvokeComplete"]["ErrorCode"] == "Runtime.ExitError"
            assert "signal: killed" in outcome[-1]["InvokeComplete"]["ErrorDetails"]
        case "worker":
            assert isinstance(outcome, EventStreamError)
            assert "ServiceException" in str(outcome)
        case _:  # the connection breaks off, unless the API is the last to die and can still say what it sees
            assert isinstance(outcome, Exception) or outcome[-1]["InvokeComplete"]["ErrorCode"]  # type: ignore[index]
    answers(scene.again(function), b"first;last")


@VICTIMS
def test_in_the_middle_of_an_event(scene: Scene, victim: str) -> None:
    function = scene.deploy(EVENT)
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        DestinationConfig={
            "OnSuccess": {"Destination": f"arn:aws:lambdad:::file/good-{victim}"},
            "OnFailure": {"Destination": f"arn:aws:lambdad:::file/bad-{victim}"},
        },
    )
    outcome = function.invoke({"victim": victim}, InvocationType="Event")
    request_id = outcome.headers["x-amzn-requestid"]
    scene.wait_until_it_holds(function, victim)
    scene.strike(victim)
    destinations = scene.node.data_dir / "destinations"

    def records() -> list[str]:
        found = [*destinations.glob(f"good-{victim}/*.json"), *destinations.glob(f"bad-{victim}/*.json")]
        return [path.name for path in found]

    wait_until(lambda: bool(records()), "a record", DEADLINE_S)
    assert [name.partition(".")[0] for name in records()] == [request_id], "one end, of this event"


@VICTIMS
def test_in_the_middle_of_a_restore(scene: Scene, victim: str) -> None:
    options: dict[str, Any] = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
    function = scene.deploy(RESTORE, Environment={"Variables": {"VICTIM": victim}}, **options)
    function.client.publish_version(FunctionName=function.name)
    function.client.get_waiter("published_version_active").wait(
        FunctionName=function.name, Qualifier="1", WaiterConfig={"Delay": 1}
    )
    caller, outcomes = in_thread(lambda: function.invoke({}, Qualifier="1"))
    scene.wait_until_it_holds(function, victim)
    scene.strike(victim)
    caller.join(DEADLINE_S)
    [outcome] = outcomes
    match victim:
        case "sandbox":
            assert isinstance(outcome, ClientError)
            assert outcome.response["Error"]["Code"] == "SnapStartException"
        case "worker":
            assert isinstance(outcome, ClientError)
            assert outcome.response["Error"]["Code"] == "ServiceException"
        case _:
            assert isinstance(outcome, Exception)
    answers(scene.again(function), b'"done"')
