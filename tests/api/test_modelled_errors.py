"""Every built operation through boto3 on a real node: its success, and each error that the service model gives it.

An error is caused by a case of `CASES`, or has in `REASONS` the reason why this operation never ends with it. The pairs
come from the model: a pair that is in neither fails the run, and so does a reason for an operation that has a case.
The node is one of its own, whose packages may have 1 MiB and whose changes do not wait for each other.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import botocore
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from scripts.api_coverage import FRONTEND, control_operations

from lambdad.model.limits import POLICY_MAX
from lambdad.testing.deploying import ROLE, zip_of
from lambdad.testing.local_node import REGION, LocalNode
from lambdad.testing.shapes import service_model, watch
from lambdad.testing.waiting import wait_until

ACCOUNT, FULL = "000000000000", "111111111111"
"""FULL has used up its code storage."""
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
CSC = f"{ARN}:code-signing-config:csc-0123456789abcdef0"
UUID = "00000000-0000-0000-0000-000000000000"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
LAYER = {"LayerName": "l", "VersionNumber": 1}
PERMISSION = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
LAYER_PERMISSION = {"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}
PUBLISHERS = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/abcdefghij"]}
PROVISIONED = {"ProvisionedConcurrentExecutions": 1}
SCALING = {"MinExecutionEnvironments": 2, "MaxExecutionEnvironments": 1}
SNAPSTART = {"ApplyOn": "PublishedVersions"}
CODE = zip_of({"app.py": "def handler(event, context):\n    return event\n"})
SLOW = zip_of({"app.py": "import time\ntime.sleep(6)\ndef handler(event, context):\n    return event\n"})
HOOKED = zip_of(
    {
        "app.py": "from snapshot_restore_py import register_after_restore\n@register_after_restore\ndef hook():\n"
        "    raise ValueError('no')\ndef handler(event, context):\n    return 1\n"
    }
)
BIG = zip_of({"app.py": "", "big": hashlib.shake_256(b"big").digest(700_000)})
INVOKES = ("Invoke", "InvokeAsync", "InvokeWithResponseStream")


def new_function(name: str, **params: Any) -> dict[str, Any]:
    ordinary = {"Runtime": "python3.11", "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": CODE}}
    return {"FunctionName": name} | ordinary | params


def of_functions() -> list[tuple[str, dict[str, Any]]]:
    """Operations on one function that is named in the request, with what else they need."""
    return [
        ("GetFunction", {}),
        ("GetFunctionConfiguration", {}),
        ("DeleteFunction", {}),
        ("UpdateFunctionCode", {"ZipFile": CODE}),
        ("UpdateFunctionConfiguration", {}),
        ("PublishVersion", {}),
        ("ListVersionsByFunction", {}),
        ("CreateAlias", {"Name": "n", "FunctionVersion": "1"}),
        ("GetAlias", {"Name": "n"}),
        ("UpdateAlias", {"Name": "n"}),
        ("DeleteAlias", {"Name": "n"}),
        ("ListAliases", {}),
        ("AddPermission", PERMISSION),
        ("GetPolicy", {}),
        ("RemovePermission", {"StatementId": "s"}),
        ("PutFunctionConcurrency", {"ReservedConcurrentExecutions": 1}),
        ("GetFunctionConcurrency", {}),
        ("DeleteFunctionConcurrency", {}),
        ("PutFunctionRecursionConfig", {"RecursiveLoop": "Allow"}),
        ("GetFunctionRecursionConfig", {}),
        ("PutFunctionEventInvokeConfig", {"MaximumRetryAttempts": 1}),
        ("UpdateFunctionEventInvokeConfig", {"MaximumRetryAttempts": 1}),
        ("GetFunctionEventInvokeConfig", {}),
        ("DeleteFunctionEventInvokeConfig", {}),
        ("ListFunctionEventInvokeConfigs", {}),
        ("CreateFunctionUrlConfig", {"AuthType": "NONE"}),
        ("GetFunctionUrlConfig", {}),
        ("UpdateFunctionUrlConfig", {}),
        ("DeleteFunctionUrlConfig", {}),
        ("ListFunctionUrlConfigs", {}),
        ("PutFunctionCodeSigningConfig", {"CodeSigningConfigArn": "<csc>"}),
        ("GetFunctionCodeSigningConfig", {}),
        ("DeleteFunctionCodeSigningConfig", {}),
        ("PutRuntimeManagementConfig", {"UpdateRuntimeOn": "Auto"}),
        ("GetRuntimeManagementConfig", {}),
        ("PutFunctionScalingConfig", {"Qualifier": "1"}),
        ("GetFunctionScalingConfig", {"Qualifier": "1"}),
        ("PutProvisionedConcurrencyConfig", {"Qualifier": "1", **PROVISIONED}),
        ("GetProvisionedConcurrencyConfig", {"Qualifier": "1"}),
        ("DeleteProvisionedConcurrencyConfig", {"Qualifier": "1"}),
        ("ListProvisionedConcurrencyConfigs", {}),
        ("Invoke", {}),
        ("InvokeAsync", {"InvokeArgs": b"{}"}),
        ("InvokeWithResponseStream", {}),
    ]


def document(resource: str, length: int = 0) -> str:
    """A policy. length: characters that it is filled up to."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": resource}

    def write(value: str) -> str:
        full = {**statement, "Condition": {"StringEquals": {"aws:PrincipalArn": value}}}
        return json.dumps({"Version": "2012-10-17", "Statement": [full]}, separators=(",", ":"))

    return write("x" * (length - len(write(""))))


MISSING = [(name, {"FunctionName": "none", **more}) for name, more in of_functions()] + [
    ("GetCodeSigningConfig", {"CodeSigningConfigArn": CSC}),
    ("UpdateCodeSigningConfig", {"CodeSigningConfigArn": CSC}),
    ("DeleteCodeSigningConfig", {"CodeSigningConfigArn": CSC}),
    ("ListFunctionsByCodeSigningConfig", {"CodeSigningConfigArn": CSC}),
    ("GetEventSourceMapping", {"UUID": UUID}),
    ("UpdateEventSourceMapping", {"UUID": UUID}),
    ("DeleteEventSourceMapping", {"UUID": UUID}),
    ("CreateEventSourceMapping", {"FunctionName": "f:9", "EventSourceArn": QUEUE}),
    ("GetLayerVersion", {"LayerName": "l", "VersionNumber": 9}),
    ("GetLayerVersionByArn", {"Arn": f"{ARN}:layer:l:9"}),
    ("GetLayerVersionPolicy", {"LayerName": "l", "VersionNumber": 9}),
    ("AddLayerVersionPermission", {"LayerName": "l", "VersionNumber": 9, **LAYER_PERMISSION}),
    ("RemoveLayerVersionPermission", {"LayerName": "l", "VersionNumber": 9, "StatementId": "s"}),
    ("TagResource", {"Resource": f"{ARN}:function:none", "Tags": {"a": "b"}}),
    ("UntagResource", {"Resource": f"{ARN}:function:none", "TagKeys": ["a"]}),
    ("ListTags", {"Resource": f"{ARN}:function:none"}),
    ("GetResourcePolicy", {"ResourceArn": f"{ARN}:function:none"}),
    ("PutResourcePolicy", {"ResourceArn": f"{ARN}:function:none", "Policy": document(f"{ARN}:function:none")}),
    ("DeleteResourcePolicy", {"ResourceArn": f"{ARN}:function:none"}),
    ("ListEventSourceMappings", {"FunctionName": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"}),
    ("CreateFunction", new_function(f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f")),
]
QUALIFIED = {
    name for name, _ in of_functions() if "Qualifier" in service_model().operation_model(name).input_shape.members
}
"""They take `f:live` together with another qualifier for a mistake; most others take any qualifier for one."""
OTHERWISE = {"ListVersionsByFunction", "ListFunctionEventInvokeConfigs", "ListFunctionUrlConfigs", "InvokeAsync"}
UNQUALIFIED = {name for name, _ in of_functions() if name.endswith(("RecursionConfig", "ScalingConfig"))}
"""The model itself refuses a qualifier."""
INVALID = [
    (name, {"FunctionName": "f:live", **more, **({"Qualifier": "other"} if name in QUALIFIED else {})})
    for name, more in of_functions()
    if name not in OTHERWISE | UNQUALIFIED
] + [
    ("ListVersionsByFunction", {"FunctionName": "f", "Marker": "x"}),
    ("ListFunctionEventInvokeConfigs", {"FunctionName": "f", "Marker": "x"}),
    ("ListFunctionUrlConfigs", {"FunctionName": "f", "Marker": "x"}),
    ("PutFunctionScalingConfig", {"FunctionName": "f", "Qualifier": "1", "FunctionScalingConfig": SCALING}),
    ("ListFunctions", {"Marker": "x"}),
    ("ListLayers", {"Marker": "x"}),
    ("ListLayerVersions", {"LayerName": "l", "Marker": "x"}),
    ("ListEventSourceMappings", {"Marker": "x"}),
    ("ListCodeSigningConfigs", {"Marker": "x"}),
    ("ListFunctionsByCodeSigningConfig", {"CodeSigningConfigArn": "<csc>", "Marker": "x"}),
    ("CreateFunction", new_function("g", Code={})),
    ("CreateCodeSigningConfig", {"AllowedPublishers": PUBLISHERS, "Tags": {str(number): "" for number in range(51)}}),
    ("CreateEventSourceMapping", {"FunctionName": "none", "EventSourceArn": QUEUE}),
    ("UpdateEventSourceMapping", {"UUID": "<mapping>", "BatchSize": 100}),
    ("PublishLayerVersion", {"LayerName": "l", "Content": {}}),
    ("GetLayerVersion", {"LayerName": "l", "VersionNumber": 0}),
    ("DeleteLayerVersion", {"LayerName": "l", "VersionNumber": 0}),
    ("GetLayerVersionPolicy", {"LayerName": "l", "VersionNumber": 0}),
    ("GetLayerVersionByArn", {"Arn": f"{ARN}:layer:l:0"}),
    ("AddLayerVersionPermission", {"LayerName": "l", "VersionNumber": 0, **LAYER_PERMISSION}),
    ("RemoveLayerVersionPermission", {"LayerName": "l", "VersionNumber": 0, "StatementId": "s"}),
    ("TagResource", {"Resource": f"{ARN}:function:f:1", "Tags": {"a": "b"}}),
    ("UntagResource", {"Resource": f"{ARN}:function:f:1", "TagKeys": ["a"]}),
    ("ListTags", {"Resource": f"{ARN}:function:f:1"}),
    ("PutResourcePolicy", {"ResourceArn": f"{ARN}:function:f", "Policy": "x"}),
]
CONFLICT = [
    ("CreateFunction", new_function("f")),
    ("CreateAlias", {"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}),
    ("CreateFunctionUrlConfig", {"FunctionName": "f", "AuthType": "NONE"}),
    ("CreateEventSourceMapping", {"FunctionName": "f", "EventSourceArn": QUEUE}),
    ("AddPermission", {"FunctionName": "f", **PERMISSION}),
    ("AddLayerVersionPermission", {**LAYER, **LAYER_PERMISSION}),
    ("DeleteFunction", {"FunctionName": "f", "Qualifier": "1"}),
    ("DeleteCodeSigningConfig", {"CodeSigningConfigArn": "<csc>"}),
    ("PutProvisionedConcurrencyConfig", {"FunctionName": "f", "Qualifier": "1", **PROVISIONED}),
    ("UpdateFunctionCode", {"FunctionName": "pending", "ImageUri": "<image>"}),
    ("UpdateFunctionConfiguration", {"FunctionName": "pending", "Timeout": 5}),
    ("PublishVersion", {"FunctionName": "pending"}),
    ("TagResource", {"Resource": f"{ARN}:function:pending", "Tags": {"a": "b"}}),
    ("Invoke", {"FunctionName": "pending"}),
    ("InvokeAsync", {"FunctionName": "pending", "InvokeArgs": b"{}"}),
    ("InvokeWithResponseStream", {"FunctionName": "pending"}),
]
STALE: list[tuple[str, dict[str, Any]]] = [
    ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": CODE}),
    ("UpdateFunctionConfiguration", {"FunctionName": "f"}),
    ("PublishVersion", {"FunctionName": "f"}),
    ("UpdateAlias", {"FunctionName": "f", "Name": "live"}),
    ("AddPermission", {"FunctionName": "f", **PERMISSION, "StatementId": "t"}),
    ("RemovePermission", {"FunctionName": "f", "StatementId": "s"}),
    ("AddLayerVersionPermission", {**LAYER, **LAYER_PERMISSION, "StatementId": "t"}),
    ("RemoveLayerVersionPermission", {**LAYER, "StatementId": "s"}),
    ("PutResourcePolicy", {"ResourceArn": f"{ARN}:function:f", "Policy": document(f"{ARN}:function:f")}),
    ("DeleteResourcePolicy", {"ResourceArn": f"{ARN}:function:f"}),
]
CASES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "ResourceNotFoundException": MISSING,
    "InvalidParameterValueException": INVALID,
    "ResourceConflictException": CONFLICT,
    "PreconditionFailedException": [(name, {**params, "RevisionId": UUID}) for name, params in STALE],
    "CodeSigningConfigNotFoundException": [
        ("CreateFunction", new_function("g", CodeSigningConfigArn=CSC)),
        ("PutFunctionCodeSigningConfig", {"FunctionName": "f", "CodeSigningConfigArn": CSC}),
    ],
    "CodeVerificationFailedException": [
        ("CreateFunction", new_function("g", CodeSigningConfigArn="<csc>")),
        ("UpdateFunctionCode", {"FunctionName": "signed", "ZipFile": CODE}),
        ("UpdateFunctionConfiguration", {"FunctionName": "signed", "Layers": [f"{ARN}:layer:l:1"]}),
    ],
    "CodeStorageExceededException": [
        ("CreateFunction", new_function("g", Code={"ZipFile": BIG})),
        ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": BIG}),
        ("PublishLayerVersion", {"LayerName": "m", "Content": {"ZipFile": BIG}}),
    ],
    "ProvisionedConcurrencyConfigNotFoundException": [
        ("GetProvisionedConcurrencyConfig", {"FunctionName": "f", "Qualifier": "2"}),
    ],
    "PolicyLengthExceededException": [
        ("AddPermission", {"FunctionName": "other", **PERMISSION}),
        ("AddLayerVersionPermission", {"LayerName": "l", "VersionNumber": 2, **LAYER_PERMISSION}),
        (
            "PutResourcePolicy",
            {"ResourceArn": f"{ARN}:function:f", "Policy": document(f"{ARN}:function:f", POLICY_MAX)},
        ),
    ],
    "InvalidRequestContentException": [
        ("Invoke", {"FunctionName": "f", "Payload": b"{"}),
        ("InvokeAsync", {"FunctionName": "f", "InvokeArgs": b"{"}),
        ("InvokeWithResponseStream", {"FunctionName": "f", "Payload": b"{"}),
    ],
    "RequestTooLargeException": [
        ("Invoke", {"FunctionName": "f", "InvocationType": "Event", "Payload": b'"' + b"x" * 2**20 + b'"'}),
    ],
    "TooManyRequestsException": [
        ("Invoke", {"FunctionName": "stopped"}),
        ("InvokeWithResponseStream", {"FunctionName": "stopped"}),
    ],
    "RecursiveInvocationException": [
        ("Invoke", {"FunctionName": "f", "TraceHeader": "<loop>"}),
        ("InvokeWithResponseStream", {"FunctionName": "f", "TraceHeader": "<loop>"}),
    ],
    "InvalidRuntimeException": [
        ("Invoke", {"FunctionName": "foreign"}),
        ("InvokeWithResponseStream", {"FunctionName": "foreign"}),
    ],
    "SnapStartNotReadyException": [
        ("Invoke", {"FunctionName": "slow", "Qualifier": "1"}),
        ("InvokeAsync", {"FunctionName": "slow:1", "InvokeArgs": b"{}"}),
        ("InvokeWithResponseStream", {"FunctionName": "slow", "Qualifier": "1"}),
    ],
    "SnapStartException": [
        ("Invoke", {"FunctionName": "hooked", "Qualifier": "1"}),
        ("InvokeWithResponseStream", {"FunctionName": "hooked", "Qualifier": "1"}),
    ],
}
"""By error, the requests that end with it. Texts in angle brackets stand for what only the node knows."""

NO_MANAGED_INSTANCES = "there are no managed instances"
NO_NETWORKS = "VpcConfig is kept and shown: no network interface is made for a function"
NO_FILE_SYSTEMS = "FileSystemConfigs are kept and shown: nothing is mounted"
NO_KMS = "KMSKeyArn is kept and shown: nothing is encrypted under it"
NO_OWN_RUNTIMES = "there are no customer-managed runtimes, and those of the host are not deleted by a request"
ANSWERED_BEFORE = "an event is accepted before it runs"
REASONS: dict[str, dict[str, set[str]]] = {
    "ServiceException": {"a failure of lambdad itself has no request that causes it": set()},
    "TooManyRequestsException": {"the control plane is not throttled": set()},
    "PublicPolicyException": {"there is no switch that blocks public policies": set()},
    "AliasLimitExceededException": {"aliases are not limited": set()},
    "InvalidCodeSignatureException": {
        "signatures are not read: code is unsigned, which is CodeVerificationFailedException": set()
    },
    "FunctionVersionsPerCapacityProviderLimitExceededException": {NO_MANAGED_INSTANCES: set()},
    "ModeNotSupportedException": {NO_MANAGED_INSTANCES: set()},
    "NoPublishedVersionException": {NO_MANAGED_INSTANCES: set()},
    "ServiceQuotaExceededException": {NO_MANAGED_INSTANCES: set()},
    "ResourceInUseException": {"a mapping changes at once: none is between two states": set()},
    "ResourceConflictException": {
        "a record is replaced in one transaction: there is nothing to be in conflict with": {
            "DeleteAlias",
            "DeleteEventSourceMapping",
            "DeleteFunctionCodeSigningConfig",
            "DeleteFunctionConcurrency",
            "DeleteFunctionEventInvokeConfig",
            "DeleteFunctionUrlConfig",
            "DeleteProvisionedConcurrencyConfig",
            "DeleteResourcePolicy",
            "PutFunctionCodeSigningConfig",
            "PutFunctionConcurrency",
            "PutFunctionEventInvokeConfig",
            "PutFunctionRecursionConfig",
            "PutFunctionScalingConfig",
            "PutResourcePolicy",
            "PutRuntimeManagementConfig",
            "RemoveLayerVersionPermission",
            "UntagResource",
            "UpdateAlias",
            "UpdateEventSourceMapping",
            "UpdateFunctionEventInvokeConfig",
            "UpdateFunctionUrlConfig",
        }
    },
    "InvalidParameterValueException": {
        "every wrong value breaks a constraint of the model, which is ValidationException": {
            "DeleteCodeSigningConfig",
            "DeleteEventSourceMapping",
            "DeleteResourcePolicy",
            "GetCodeSigningConfig",
            "GetEventSourceMapping",
            "GetFunctionRecursionConfig",
            "GetFunctionScalingConfig",
            "GetResourcePolicy",
            "PutFunctionRecursionConfig",
            "UpdateCodeSigningConfig",
        }
    },
    "CodeSigningConfigNotFoundException": {
        "a configuration stays as long as a function has it": {
            "DeleteFunctionCodeSigningConfig",
            "GetFunctionCodeSigningConfig",
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
        }
    },
    "ResourceNotFoundException": {
        "a list of nothing is empty": {"ListLayerVersions"},
        "what is to go may be gone already": {"DeleteLayerVersion"},
        "it makes what it names": {"PublishLayerVersion"},
    },
    "CodeStorageExceededException": {"a version is made of code that is there already": {"PublishVersion"}},
    "ResourceNotReadyException": {"functions do not become Inactive": set()},
    "SnapStartTimeoutException": {
        "caused in tests/api/test_snapstart.py, if at all: it takes ten seconds": set(),
    },
    "SnapStartRegenerationFailureException": {"a lost snapshot is made again, or the function starts without": set()},
    "SnapStartException": {ANSWERED_BEFORE: {"InvokeAsync"}},
    "InvalidRuntimeException": {ANSWERED_BEFORE: {"InvokeAsync"}},
    "InvalidZipFileException": {"archives are read when they arrive": set()},
    "UnsupportedMediaTypeException": {"the body is JSON or it is not, whatever its Content-Type says": set()},
    "SerializedRequestEntityTooLargeException": {"a payload is handed on as it is, not serialised again": set()},
    "RequestTooLargeException": {
        "AWS's front refuses what is too large: RequestEntityTooLargeException": {"InvokeWithResponseStream"}
    },
    "DurableExecutionAlreadyStartedException": {"there are no durable executions": set()},
    "RuntimeAliasDeletedException": {NO_OWN_RUNTIMES: set()},
    "RuntimeVersionDeletedException": {NO_OWN_RUNTIMES: set()},
    "CodeArtifactUserDeletedException": {NO_OWN_RUNTIMES: set()},
    "CodeArtifactUserFailedException": {NO_OWN_RUNTIMES: set()},
    "CodeArtifactUserPendingException": {NO_OWN_RUNTIMES: set()},
    "KMSAccessDeniedException": {NO_KMS: set()},
    "KMSDisabledException": {NO_KMS: set()},
    "KMSInvalidStateException": {NO_KMS: set()},
    "KMSNotFoundException": {NO_KMS: set()},
    "EC2AccessDeniedException": {NO_NETWORKS: set()},
    "EC2ThrottledException": {NO_NETWORKS: set()},
    "EC2UnexpectedException": {NO_NETWORKS: set()},
    "ENILimitReachedException": {NO_NETWORKS: set()},
    "ENINotReadyException": {NO_NETWORKS: set()},
    "InvalidSecurityGroupIDException": {NO_NETWORKS: set()},
    "InvalidSubnetIDException": {NO_NETWORKS: set()},
    "SubnetIPAddressLimitReachedException": {NO_NETWORKS: set()},
    "EFSIOException": {NO_FILE_SYSTEMS: set()},
    "EFSMountConnectivityException": {NO_FILE_SYSTEMS: set()},
    "EFSMountFailureException": {NO_FILE_SYSTEMS: set()},
    "EFSMountTimeoutException": {NO_FILE_SYSTEMS: set()},
    "S3FilesMountConnectivityException": {NO_FILE_SYSTEMS: set()},
    "S3FilesMountFailureException": {NO_FILE_SYSTEMS: set()},
    "S3FilesMountTimeoutException": {NO_FILE_SYSTEMS: set()},
}
"""By error, why the operations that have no case never end with it; an empty set means all of them."""


class World:
    """The node, what the cases are about, and which operations have succeeded on the way there."""

    def __init__(self, node: LocalNode, registry: socket.socket) -> None:
        self.node = node
        self.succeeded: set[str] = set()
        self.client = self._connect(ACCOUNT)
        self.full = self._connect(FULL)
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
            made = World(node, registry)
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
    for name in ("f", "other", "signed", "stopped", "foreign", "slow", "hooked"):
        world.settle(name)
    call("PutFunctionCodeSigningConfig", FunctionName="signed", CodeSigningConfigArn="<csc>")
    call("PutFunctionConcurrency", FunctionName="stopped", ReservedConcurrentExecutions=0)
    call("PublishVersion", FunctionName="hooked")
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
    world.client.get_waiter("published_version_active").wait(FunctionName="hooked", Qualifier="1")


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
    if code == "SnapStartNotReadyException":
        _publish_slowly(world)
    client = world.full if code == "CodeStorageExceededException" else world.client
    modelled = next(
        shape for shape in service_model().operation_model(operation).error_shapes if shape.name == code
    ).metadata["error"]["httpStatusCode"]
    for params in _caused(pair):
        with pytest.raises(ClientError) as caught:
            world.send(client, operation, params)
        answer = caught.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, modelled), answer
        assert answer["Error"]["Message"]


def _publish_slowly(world: World) -> None:
    """Version 1 of `slow`, whose snapshot takes seconds; made anew if it is there already."""
    world.call("DeleteFunction", FunctionName="slow")
    world.create("slow", Code={"ZipFile": SLOW}, SnapStart=SNAPSTART, Timeout=30)
    world.call("PublishVersion", FunctionName="slow")


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
    name = "whole"
    world.create(name, Publish=True)
    call("UpdateFunctionCode", FunctionName=name, ZipFile=SLOW)
    world.settle(name)
    arn, alias, version = (
        f"{ARN}:function:{name}",
        {"FunctionName": name, "Name": "a"},
        {"LayerName": "l", "VersionNumber": 1},
    )
    call("CreateAlias", **alias, FunctionVersion="1")
    config, mapping = {"CodeSigningConfigArn": world.known["<csc>"]}, {"UUID": world.known["<mapping>"]}
    stale = {"FunctionName": name, "Qualifier": "1"}
    more: list[tuple[str, dict[str, Any]]] = [
        *(
            (one, {"FunctionName": name})
            for one in ("GetFunction", "GetFunctionConfiguration", "ListVersionsByFunction")
        ),
        *((one, {}) for one in ("ListFunctions", "ListLayers", "ListEventSourceMappings", "ListCodeSigningConfigs")),
        ("GetAccountSettings", {}),
        *((one, alias) for one in ("GetAlias", "UpdateAlias")),
        ("ListAliases", {"FunctionName": name}),
        ("AddPermission", {"FunctionName": name, **PERMISSION}),
        ("GetPolicy", {"FunctionName": name}),
        ("RemovePermission", {"FunctionName": name, "StatementId": "s"}),
        ("PutResourcePolicy", {"ResourceArn": arn, "Policy": document(arn)}),
        *((one, {"ResourceArn": arn}) for one in ("GetResourcePolicy", "DeleteResourcePolicy")),
        ("TagResource", {"Resource": arn, "Tags": {"a": "b"}}),
        ("ListTags", {"Resource": arn}),
        ("UntagResource", {"Resource": arn, "TagKeys": ["a"]}),
        ("PutFunctionRecursionConfig", {"FunctionName": name, "RecursiveLoop": "Allow"}),
        ("PutFunctionEventInvokeConfig", {"FunctionName": name, "MaximumRetryAttempts": 1}),
        ("UpdateFunctionEventInvokeConfig", {"FunctionName": name, "MaximumEventAgeInSeconds": 60}),
        ("CreateFunctionUrlConfig", {"FunctionName": name, "AuthType": "NONE"}),
        ("UpdateFunctionUrlConfig", {"FunctionName": name, "AuthType": "AWS_IAM"}),
        ("PutFunctionConcurrency", {"FunctionName": name, "ReservedConcurrentExecutions": 2}),
        ("PutRuntimeManagementConfig", {"FunctionName": name, "UpdateRuntimeOn": "FunctionUpdate"}),
        ("PutFunctionScalingConfig", {**stale, "FunctionScalingConfig": {"MinExecutionEnvironments": 1}}),
        ("PutProvisionedConcurrencyConfig", {**stale, **PROVISIONED}),
        ("GetProvisionedConcurrencyConfig", stale),
        ("GetFunctionScalingConfig", stale),
        ("DeleteProvisionedConcurrencyConfig", stale),
        *(
            (one, {"FunctionName": name})
            for one, more in of_functions()
            if one.startswith(("GetFunction", "List")) and not more
        ),
        ("GetRuntimeManagementConfig", {"FunctionName": name}),
        *(
            (one, config)
            for one in ("GetCodeSigningConfig", "UpdateCodeSigningConfig", "ListFunctionsByCodeSigningConfig")
        ),
        *((one, mapping) for one in ("GetEventSourceMapping", "UpdateEventSourceMapping")),
        ("GetLayerVersion", version),
        ("GetLayerVersionByArn", {"Arn": f"{ARN}:layer:l:1"}),
        ("ListLayerVersions", {"LayerName": "l"}),
        ("GetLayerVersionPolicy", version),
        *((one, {"FunctionName": "other"}) for one in ("Invoke", "InvokeWithResponseStream")),
        ("InvokeAsync", {"FunctionName": "other", "InvokeArgs": b"{}"}),
    ]
    for operation, params in more:
        call(operation, **params)
    last = [
        ("DeleteFunctionConcurrency", {"FunctionName": name}),
        ("DeleteFunctionEventInvokeConfig", {"FunctionName": name}),
        ("DeleteFunctionUrlConfig", {"FunctionName": name}),
        ("DeleteFunctionCodeSigningConfig", {"FunctionName": name}),
        ("DeleteAlias", alias),
        ("DeleteFunction", {"FunctionName": name}),
    ]
    for operation, params in last:
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
