"""Functions that call AWS: this node's own services, and others at an endpoint of the configuration."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import LocalNode, NodeFailed

CALLER = """
import boto3, os, socket

def handler(event, context):
    match event["do"]:
        case "invoke":
            answer = boto3.client("lambda").invoke(FunctionName=event["name"], Payload=b'"hello"')
            return answer["Payload"].read().decode()
        case "send":
            sqs = boto3.client("sqs")
            sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="jobs")["QueueUrl"], MessageBody="from inside")
        case "who":
            return boto3.client("sts").get_caller_identity()["Account"]
        case "flood":
            crowd = [socket.socket() for _ in range(900)]
            for sock in crowd:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", 9010))
            sent = 0
            for sock in crowd:
                try:
                    sent += sock.send(b"\\0" * 65536) > 0
                except OSError:
                    pass
            return sent
        case "connect":
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", event["port"]))
"""
ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="module")
def node(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    arguments = ["--function-endpoint", "node", "--function-endpoint", moto]
    started = LocalNode.start(tmp_path_factory.mktemp("endpoints") / "data", arguments=arguments)
    yield started
    assert started.stop() == []


def test_a_function_calls_another_one_as_its_own_account(node: LocalNode) -> None:
    keys: dict[str, Any] = {"aws_access_key_id": "111122223333", "aws_secret_access_key": "test"}
    client = boto3.client("lambda", endpoint_url=node.endpoint, region_name="eu-central-1", **keys)
    with deploy_python(client, ECHO) as echo, deploy_python(client, CALLER) as caller:
        assert caller.invoke({"do": "invoke", "name": echo.name}).value == '"hello"'
        assert caller.invoke({"do": "who"}).value == "111122223333"


def test_other_services_are_at_the_endpoint_of_the_configuration(node: LocalNode, moto: str) -> None:
    keys: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    sqs = boto3.client("sqs", endpoint_url=moto, **keys)
    queue = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    with deploy_python(node.client(), CALLER) as caller:
        caller.invoke({"do": "send"})
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert message["Body"] == "from inside"


def test_a_door_leads_to_its_endpoint_and_nothing_else_of_the_host_is_reached(node: LocalNode, moto: str) -> None:
    ports = [int(endpoint.rpartition(":")[2]) for endpoint in (node.endpoint, moto)]
    with deploy_python(node.client(), CALLER) as caller:
        assert caller.invoke({"do": "connect", "port": 9010}).value == 0
        assert all(caller.invoke({"do": "connect", "port": port}).value != 0 for port in (*ports, 9012))


def test_a_flood_at_a_door_stays_within_its_sandbox(node: LocalNode) -> None:
    with (
        deploy_python(node.client(), CALLER, Timeout=60) as hostile,
        deploy_python(node.client(), CALLER, Timeout=60) as bystander,
    ):
        bystander.invoke({"do": "who"})
        with ThreadPoolExecutor(1) as attack:
            flooding = attack.submit(hostile.invoke, {"do": "flood"})
            while not flooding.done():
                assert bystander.invoke({"do": "who"}).value == "000000000000"
        assert flooding.result().value > 0
        assert hostile.invoke({"do": "who"}).value == "000000000000"


def test_a_node_whose_endpoint_has_no_address_says_so_and_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(NodeFailed) as failed:
        LocalNode.start(tmp_path / "data", arguments=["--function-endpoint", "http://nowhere.invalid:1"])
    assert "nowhere.invalid has no address" in str(failed.value)
    assert "Traceback" not in str(failed.value)
