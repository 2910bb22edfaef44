"""Every built operation through boto3 on a real node: its success, and each error that the service model gives it.

An error is caused by a case of `CASES`, or has in `REASONS` the reason why this operation never ends with it. The pairs
come from the model: a pair that is in neither fails the run, and so does a reason for an operation that has a case.
The node is one of its own, whose packages may have 1 MiB and whose changes do not wait for each other.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import boto3
import botocore
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from scripts.api_coverage import FRONTEND, control_operations
from tests.modelled_errors import (
    ACCOUNT,
    ARN,
    BIG,
    CASES,
    CODE,
    FULL,
    HOOKED,
    ITS_ALIAS,
    LAST,
    LATE,
    LAYER,
    LAYER_PERMISSION,
    PERMISSION,
    PROVISIONED,
    PUBLISHERS,
    QUEUE,
    REASONS,
    SLOW,
    SNAPSTART,
    SUCCESSES,
    WHOLE,
    document,
    new_function,
)

from lambdad.model.limits import POLICY_MAX
from lambdad.testing import probes
from lambdad.testing.deploying import ROLE
from lambdad.testing.local_node import REGION, LocalNode
from lambdad.testing.shapes import service_model, watch
from lambdad.testing.waiting import wait_until


class World:
    """The node, what the cases are about, and which operations have succeeded on the way there.

    waiting: sends what takes long. late: by operation, requests for the function `late`, whose errors take ten seconds:
    they are on their way.
    """

    def __init__(self, node: LocalNode, registry: socket.socket, waiting: Executor) -> None:
        self.node = node
        self.succeeded: set[str] = set()
        self.client = self._connect(ACCOUNT)
        self.full = self._connect(FULL)
        self.waiting = waiting
        self.late: dict[str, Future[Any]] = {}
        name = hashlib.sha256(f"{ARN}:function:f".encode()).hexdigest()[:8]
        self.known = {
            "<image>": f"127.0.0.1:{registry.getsockname()[1]}/held:1",
            "<loop>": f"Root=1-5759e988-bd862e3fe1be46a994272793;Lineage={name}:16",
        }

    def _connect(self, account: str) -> Any:
        client = boto3.client(
            "lambda",
            endpoint_url=self.node.endpoint,
            region_name=REGION,
            aws_access_key_id=account,
            aws_secret_access_key="any",
            config=Config(retries={"max_attempts": 0}, read_timeout=60, parameter_validation=False),
        )
        client.meta.events.register("after-call.lambda", self._note)
        client.meta.events.register("before-call.lambda", _set_trace)
        client.meta.events.register("provide-client-params.lambda", _take_trace)
        return watch(client)

    def _note(self, model: Any, http_response: Any, **_: Any) -> None:
        if http_response.status_code < 300:
            self.succeeded.add(model.name)

    def call(self, operation: str, /, **params: Any) -> Any:
        return self.send(self.client, operation, params)

    def send(self, client: Any, operation: str, params: Mapping[str, Any]) -> Any:
        filled = {
            name: self.known.get(value, value) if isinstance(value, str) else value for name, value in params.items()
        }
        answer = getattr(client, botocore.xform_name(operation))(**filled)
        for body in (answer.get("Payload"), answer.get("EventStream")):
            if body is not None:
                body.close()
        return answer

    def expect(self, client: Any, operation: str, params: Mapping[str, Any]) -> Any:
        """`send`, or what came of it if it was sent before."""
        if params.get("FunctionName") == "late" and operation in self.late:
            return self.late[operation].result(90)
        return self.send(client, operation, params)

    def settle(self, name: str) -> None:
        def is_settled() -> bool:
            shown = self.client.get_function_configuration(FunctionName=name)
            return (shown["State"], shown.get("LastUpdateStatus")) == ("Active", "Successful")

        wait_until(is_settled, f"{name}, ready", 60)

    def create(self, name: str, **params: Any) -> None:
        self.call("CreateFunction", **new_function(name, **params))
        self.settle(name)


def _take_trace(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """The header is no parameter of the model: it rides along until the request is made."""
    context["trace"] = params.pop("TraceHeader", None)


def _set_trace(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if context.get("trace"):
        params["headers"]["X-Amzn-Trace-Id"] = context["trace"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("errors")
    config = directory / "lambdad.toml"
    config.write_text("code_storage = 1\nchange_wait = 0.2\n")
    with socket.create_server(("127.0.0.1", 0)) as registry:  # it never answers: an image from it stays Pending
        node = LocalNode.start(directory / "data", arguments=("--config", str(config)))
        try:
            with ThreadPoolExecutor(2) as waiting:
                made = World(node, registry, waiting)
                fill(made)
                yield made
        finally:
            assert node.stop() == []


def fill(world: World) -> None:
    """What the cases are about."""
    call = world.call
    for name in ("f", "other", "signed", "stopped"):
        call("CreateFunction", **new_function(name))
    call("CreateFunction", **new_function("foreign", Runtime="dotnet8"))
    call("CreateFunction", **new_function("late", Code={"ZipFile": LATE}, SnapStart=SNAPSTART, Timeout=30))
    call("CreateFunction", **new_function("slow", Code={"ZipFile": SLOW}, SnapStart=SNAPSTART, Timeout=30))
    call("CreateFunction", **new_function("hooked", Code={"ZipFile": HOOKED}, SnapStart=SNAPSTART))
    pending = {"PackageType": "Image", "Code": {"ImageUri": world.known["<image>"]}, "Role": ROLE}
    call("CreateFunction", FunctionName="pending", **pending)
    world.send(world.full, "CreateFunction", new_function("f", Code={"ZipFile": BIG}))
    call("PublishLayerVersion", LayerName="l", Content={"ZipFile": CODE})
    call("PublishLayerVersion", LayerName="l", Content={"ZipFile": CODE})
    call("AddLayerVersionPermission", **LAYER, **LAYER_PERMISSION)
    enforced = {"UntrustedArtifactOnDeployment": "Enforce"}
    config = call("CreateCodeSigningConfig", AllowedPublishers=PUBLISHERS, CodeSigningPolicies=enforced)
    world.known["<csc>"] = config["CodeSigningConfig"]["CodeSigningConfigArn"]
    for name in ("f", "other", "signed", "stopped", "foreign", "slow", "hooked", "late"):
        world.settle(name)
    publish(world, "late")
    for operation, params in CASES["SnapStartTimeoutException"]:
        world.late[operation] = world.waiting.submit(world.send, world.client, operation, params)
    call("PutFunctionCodeSigningConfig", FunctionName="signed", CodeSigningConfigArn="<csc>")
    call("PutFunctionConcurrency", FunctionName="stopped", ReservedConcurrentExecutions=0)
    call("PublishVersion", FunctionName="f")
    call("UpdateFunctionConfiguration", FunctionName="f", Description="second")
    world.settle("f")
    call("PublishVersion", FunctionName="f")
    call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    call("PutProvisionedConcurrencyConfig", FunctionName="f", Qualifier="live", **PROVISIONED)
    call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    call("AddPermission", FunctionName="f", **PERMISSION)
    mapping = call("CreateEventSourceMapping", FunctionName="f", EventSourceArn=QUEUE)
    world.known["<mapping>"] = mapping["UUID"]
    other = f"{ARN}:function:other"
    call("PutResourcePolicy", ResourceArn=other, Policy=document(other, POLICY_MAX - 50))
    with pytest.raises(ClientError, match="bigger than the limit"):
        for number in range(200):
            statement = {**LAYER_PERMISSION, "StatementId": f"{number:0100}"}
            call("AddLayerVersionPermission", LayerName="l", VersionNumber=2, **statement)


def _pairs() -> list[tuple[str, str]]:
    """Every built operation with every error that the model gives it."""
    built = control_operations() | FRONTEND
    operations = (service_model().operation_model(name) for name in sorted(built))
    return [(operation.name, shape.name) for operation in operations for shape in operation.error_shapes]


def _caused(pair: tuple[str, str]) -> list[dict[str, Any]]:
    return [params for name, params in CASES.get(pair[1], ()) if name == pair[0]]


def _reason(pair: tuple[str, str]) -> str | None:
    """Why no request ends so: the reason of this operation, or the one of all that have none of their own."""
    reasons = REASONS.get(pair[1], {})
    own = next((reason for reason, operations in reasons.items() if pair[0] in operations), None)
    return own or next((reason for reason, operations in reasons.items() if not operations), None)


@pytest.mark.parametrize("pair", [pair for pair in _pairs() if _caused(pair)], ids="-".join)
def test_a_modelled_error_is_caused(world: World, pair: tuple[str, str]) -> None:
    operation, code = pair
    if code in ("SnapStartException", "SnapStartNotReadyException"):
        for probed in (probes.is_root(), probes.can_mount_loop()):
            if not probed:
                pytest.skip(f"no snapshots: {probed.reason}")
        _publish_anew(world, code)
    client = world.full if code == "CodeStorageExceededException" else world.client
    modelled = next(
        shape for shape in service_model().operation_model(operation).error_shapes if shape.name == code
    ).metadata["error"]["httpStatusCode"]
    for params in _caused(pair):
        with pytest.raises(ClientError) as caught:
            world.expect(client, operation, params)
        answer = caught.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, modelled), answer
        assert answer["Error"]["Message"]


def _publish_anew(world: World, code: str) -> None:
    """A version whose snapshot takes seconds, or one with a fresh snapshot: those of yesterday may be gone."""
    name, package = ("slow", SLOW) if code == "SnapStartNotReadyException" else ("hooked", HOOKED)
    world.call("DeleteFunction", FunctionName=name)
    world.create(name, Code={"ZipFile": package}, SnapStart=SNAPSTART, Timeout=30)
    if name == "hooked":
        publish(world, name)
    else:
        world.call("PublishVersion", FunctionName=name)


def publish(world: World, name: str) -> None:
    """Version 1, with its snapshot."""
    world.call("PublishVersion", FunctionName=name)
    wait_until(
        lambda: world.client.get_function(FunctionName=name, Qualifier="1")["Configuration"]["State"] == "Active",
        f"the snapshot of {name}",
    )


def test_each_error_has_a_case_or_a_reason() -> None:
    open_ends = [pair for pair in _pairs() if not _caused(pair) and not _reason(pair)]
    assert not open_ends, "say for each of them how it is caused, or why it never is"


def test_no_case_and_no_reason_is_out_of_date() -> None:
    pairs = set(_pairs())
    assert {(name, code) for code, cases in CASES.items() for name, _ in cases} <= pairs
    named = {(name, code) for code, reasons in REASONS.items() for names in reasons.values() for name in names}
    assert named <= pairs
    assert not {pair for pair in named if _caused(pair)}
    without_case = {code for name, code in pairs if not _caused((name, code))}
    assert REASONS.keys() <= without_case


def test_every_operation_succeeds(world: World) -> None:
    """Those that making the world has not called yet."""
    call, client = world.call, world.client
    world.create(WHOLE, Publish=True)
    call("UpdateFunctionCode", FunctionName=WHOLE, ZipFile=SLOW)
    world.settle(WHOLE)
    call("CreateAlias", **ITS_ALIAS, FunctionVersion="1")
    for operation, params in SUCCESSES + LAST:
        call(operation, **params)
    made = client.publish_layer_version(LayerName="gone", Content={"ZipFile": CODE})
    client.add_layer_version_permission(LayerName="gone", VersionNumber=1, **LAYER_PERMISSION)
    client.remove_layer_version_permission(LayerName="gone", VersionNumber=1, StatementId="s")
    client.delete_layer_version(LayerName="gone", VersionNumber=made["Version"])
    client.delete_event_source_mapping(
        UUID=call("CreateEventSourceMapping", FunctionName="other", EventSourceArn=QUEUE)["UUID"]
    )
    spare = client.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]
    client.delete_code_signing_config(CodeSigningConfigArn=spare["CodeSigningConfigArn"])
    assert control_operations() | FRONTEND <= world.succeeded
