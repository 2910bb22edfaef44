"""Concurrency on a real node: provisioned environments, limits and their reasons, changes under load."""

from __future__ import annotations

import base64
import os
import signal
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdad.testing.deploying import Deployed, deploy_python
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

WHO = """
import os, time, uuid
ME = str(uuid.uuid4())
def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return {
        "me": ME, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], "version": context.function_version,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
    }
"""


def provision(function: Deployed, count: int, qualifier: str = "live") -> None:
    """Ask for provisioned environments and wait until they are there."""
    client, params = function.client, {"FunctionName": function.name, "Qualifier": qualifier}
    put = client.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=count, **params)
    assert put["Status"] == "IN_PROGRESS"
    wait_until_ready(function, qualifier)
    shown = client.get_provisioned_concurrency_config(**params)
    assert shown["AvailableProvisionedConcurrentExecutions"] == count
    assert shown["AllocatedProvisionedConcurrentExecutions"] == count


def status_of(function: Deployed, qualifier: str = "live") -> str:
    shown = function.client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier=qualifier)
    status: str = shown["Status"]
    return status


def wait_until_ready(function: Deployed, qualifier: str = "live") -> None:
    wait_until(lambda: status_of(function, qualifier) == "READY", "the provisioned environments are ready", 60)


def publish(function: Deployed, alias: str = "live") -> str:
    """Publish what is there and point the alias at it."""
    version: str = function.client.publish_version(FunctionName=function.name)["Version"]
    function.client.get_waiter("published_version_active").wait(FunctionName=function.name, Qualifier=version)
    try:
        function.client.create_alias(FunctionName=function.name, Name=alias, FunctionVersion=version)
    except ClientError:
        function.client.update_alias(FunctionName=function.name, Name=alias, FunctionVersion=version)
    return version


def metric(node: LocalNode, name: str, *labels: str) -> float:
    """The value of the first series of a metric that has these words in its labels; 0 if there is none."""
    with urllib.request.urlopen(node.endpoint + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    for line in lines:
        if line.startswith(name + "{") and all(label in line for label in labels):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def child(node: LocalNode, role: str) -> int:
    """The process of a role."""
    for process in node.holdings().processes:
        command = Path(f"/proc/{process.pid}/cmdline")
        if command.exists() and f"lambdad.node.{role}".encode() in command.read_bytes().split(b"\0"):
            return process.pid
    raise AssertionError(f"no {role} process")


def test_provisioned_environments_serve_their_alias_without_a_cold_start_and_spill_over(
    node: LocalNode, lambda_client: Any
) -> None:
    with deploy_python(lambda_client, WHO, Timeout=30) as function:
        publish(function)
        provision(function, 2)
        first = function.invoke({}, Qualifier="live", LogType="Tail")
        assert first.value["type"] == "provisioned-concurrency"
        assert set(first.timings) == {"queue", "duration", "total"}
        log = base64.b64decode(first.log_result or "").decode()
        assert "REPORT" in log
        assert "Init Duration" not in log, "nobody waited for the init phase, and it is not billed"
        assert function.invoke({}, Qualifier="1").value["type"] == "on-demand"
        with ThreadPoolExecutor(3) as pool:
            outcomes = list(pool.map(lambda _: function.invoke({"seconds": 4}, Qualifier="live"), range(3)))
        kinds = sorted(outcome.value["type"] for outcome in outcomes)
        assert kinds == ["on-demand", "provisioned-concurrency", "provisioned-concurrency"]
        labels = (f'function="{function.name}"', 'qualifier="live"')
        assert metric(node, "lambdad_provisioned_concurrency_spillover_invocations_total", *labels) == 1
        assert metric(node, "lambdad_provisioned_concurrency_invocations_total", *labels) == 3
        assert metric(node, "lambdad_provisioned_concurrent_executions", *labels) == 0


def test_an_alias_that_moves_gets_environments_of_its_new_version(lambda_client: Any) -> None:
    with deploy_python(lambda_client, WHO) as function:
        publish(function)
        provision(function, 1)
        function.configure(Description="another")
        assert publish(function) == "2"
        wait_until_ready(function)
        told = function.invoke({}, Qualifier="live").value
        assert (told["type"], told["version"]) == ("provisioned-concurrency", "2")
        lambda_client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier="live")
        assert function.invoke({}, Qualifier="live").value["type"] == "on-demand"


def test_a_function_whose_init_phase_fails_cannot_be_provisioned(lambda_client: Any) -> None:
    with deploy_python(lambda_client, "raise RuntimeError('not today')\n") as function:
        publish(function)
        lambda_client.put_provisioned_concurrency_config(
            FunctionName=function.name, Qualifier="live", ProvisionedConcurrentExecutions=1
        )
        wait_until(lambda: status_of(function) == "FAILED", "the failure is known", 60)
        shown = lambda_client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier="live")
        assert shown["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
        assert shown["AvailableProvisionedConcurrentExecutions"] == 0


def test_provisioned_environments_come_back_after_the_worker_and_after_the_whole_node(tmp_path: Path) -> None:
    with LocalNode.start(tmp_path / "data") as before:
        function = deploy_python(before.client(), WHO)
        publish(function)
        provision(function, 1)
        lost = function.invoke({}, Qualifier="live").value["me"]
        os.kill(child(before, "worker"), signal.SIGKILL)

        def is_replaced() -> bool:
            try:
                told = function.invoke({}, Qualifier="live").value
            except ClientError:
                return False
            return bool(told["type"] == "provisioned-concurrency" and told["me"] != lost)

        wait_until(is_replaced, "another provisioned environment is there", 60)
        assert before.stop() == []
    with LocalNode.start(tmp_path / "data") as after:
        again = Deployed(after.client(), function.name)
        wait_until_ready(again)
        assert again.invoke({}, Qualifier="live").value["type"] == "provisioned-concurrency"
        assert after.stop() == []


def test_a_provisioned_environment_whose_process_died_serves_again(lambda_client: Any) -> None:
    source = WHO.replace("    return {", "    event.get('die') and os._exit(3)\n    return {")
    with deploy_python(lambda_client, source) as function:
        publish(function)
        provision(function, 1)
        before = function.invoke({}, Qualifier="live").value["me"]
        assert function.invoke({"die": True}, Qualifier="live").error == "Unhandled"
        wait_until(
            lambda: (
                function.invoke({}, Qualifier="live").value["type"] == "provisioned-concurrency"
                and function.invoke({}, Qualifier="live").value["me"] != before
            ),
            "another environment is there",
            60,
        )


def test_a_reservation_throttles_with_its_reason_and_zero_stops_a_function(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, WHO, Timeout=30) as function:
        lambda_client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
        with pytest.raises(ClientError) as stopped:
            function.invoke({})
        lambda_client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
        busy = threading.Thread(target=lambda: function.invoke({"seconds": 8}))
        busy.start()
        running = ("lambdad_function_concurrent_executions", f'function="{function.name}"')
        wait_until(lambda: metric(node, *running) == 1, "the one invoke to run", 60)
        with pytest.raises(ClientError) as refused:
            function.invoke({})
        busy.join()
        for error in (stopped.value, refused.value):
            answer = error.response
            assert answer["Error"]["Code"] == "TooManyRequestsException"
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
            assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
        assert stopped.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_a_short_wait_spares_a_short_function_the_throttle(tmp_path: Path) -> None:
    settings = tmp_path / "node.toml"
    settings.write_text("throttle_wait = 20.0\nrequest_rate = 0\nunreserved_concurrency_min = 0\nconcurrency = 2\n")
    with LocalNode.start(tmp_path / "data", arguments=["--config", str(settings)]) as node:
        function = deploy_python(node.client(), WHO)
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda _: function.invoke({"seconds": 0.05}), range(24)))
        assert len({outcome.value["me"] for outcome in outcomes}) <= 2
        assert node.stop() == []


def test_changes_under_load_fail_no_request(lambda_client: Any) -> None:
    """Code and configuration are replaced while eight clients invoke: some state answers each request."""
    with deploy_python(lambda_client, "def handler(event, context):\n    return 0\n") as function:
        done = threading.Event()
        answers: list[Any] = []

        def load() -> None:
            while not done.is_set():
                outcome = function.invoke({})
                answers.append(outcome.value if outcome.error is None else outcome.body)

        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(load) for _ in range(8)]
            try:
                for number in range(1, 6):
                    function.update({"app.py": f"def handler(event, context):\n    return {number}\n"})
                    function.configure(Environment={"Variables": {"NUMBER": str(number)}})
                    count = len(answers)
                    wait_until(lambda before=count: len(answers) >= before + 20, "the load goes on", 60)  # type: ignore[misc]
            finally:
                done.set()
            for client in clients:
                client.result()
        assert set(answers) <= set(range(6)), set(map(str, answers))
        assert function.invoke({}).value == 5


def test_the_trace_of_the_caller_is_in_the_environment_of_the_function(node: LocalNode, lambda_client: Any) -> None:
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    with deploy_python(lambda_client, WHO) as function:
        lambda_client.meta.events.register(
            "before-sign.lambda.Invoke", lambda request, **_: request.headers.add_header("X-Amzn-Trace-Id", trace)
        )
        outcome = function.invoke({})
        assert outcome.value["trace"].startswith(trace)
        assert outcome.headers["x-amzn-trace-id"].startswith(trace)
