"""Which modelled error of which operation is caused by what request, and why the others are not caused.

Values only: tests/api/test_modelled_errors.py makes the world that they are about, and sends them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lambdad.model.limits import POLICY_MAX
from lambdad.testing.deploying import ROLE, zip_of
from lambdad.testing.local_node import REGION
from lambdad.testing.shapes import service_model

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
LATE = zip_of(
    {
        "app.py": "import time\nfrom snapshot_restore_py import register_after_restore\n@register_after_restore\n"
        "def hook():\n    time.sleep(60)\ndef handler(event, context):\n    return 1\n"
    }
)
BIG = zip_of({"app.py": "", "big": hashlib.shake_256(b"big").digest(700_000)})


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
    "SnapStartTimeoutException": [
        ("Invoke", {"FunctionName": "late", "Qualifier": "1"}),
        ("InvokeWithResponseStream", {"FunctionName": "late", "Qualifier": "1"}),
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
    "ResourceNotReadyException": {"what becomes Inactive has an error of its own; networks are not taken back": set()},
    "SnapStartTimeoutException": {ANSWERED_BEFORE: {"InvokeAsync"}},
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
    "CodeArtifactUserPendingException": {"of an Inactive image: caused in tests/unit/control/test_idleness.py": set()},
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

WHOLE, WHOLE_ARN = "whole", f"{ARN}:function:whole"
"""A function that has everything."""
ITS_ALIAS = {"FunctionName": WHOLE, "Name": "a"}
ITS_VERSION = {"FunctionName": WHOLE, "Qualifier": "1"}
SUCCESSES: list[tuple[str, dict[str, Any]]] = [
    *((one, {"FunctionName": WHOLE}) for one in ("GetFunction", "GetFunctionConfiguration", "ListVersionsByFunction")),
    *((one, {}) for one in ("ListFunctions", "ListLayers", "ListEventSourceMappings", "ListCodeSigningConfigs")),
    ("GetAccountSettings", {}),
    *((one, ITS_ALIAS) for one in ("GetAlias", "UpdateAlias")),
    ("ListAliases", {"FunctionName": WHOLE}),
    ("AddPermission", {"FunctionName": WHOLE, **PERMISSION}),
    ("GetPolicy", {"FunctionName": WHOLE}),
    ("RemovePermission", {"FunctionName": WHOLE, "StatementId": "s"}),
    ("PutResourcePolicy", {"ResourceArn": WHOLE_ARN, "Policy": document(WHOLE_ARN)}),
    *((one, {"ResourceArn": WHOLE_ARN}) for one in ("GetResourcePolicy", "DeleteResourcePolicy")),
    ("TagResource", {"Resource": WHOLE_ARN, "Tags": {"a": "b"}}),
    ("ListTags", {"Resource": WHOLE_ARN}),
    ("UntagResource", {"Resource": WHOLE_ARN, "TagKeys": ["a"]}),
    ("PutFunctionRecursionConfig", {"FunctionName": WHOLE, "RecursiveLoop": "Allow"}),
    ("PutFunctionEventInvokeConfig", {"FunctionName": WHOLE, "MaximumRetryAttempts": 1}),
    ("UpdateFunctionEventInvokeConfig", {"FunctionName": WHOLE, "MaximumEventAgeInSeconds": 60}),
    ("CreateFunctionUrlConfig", {"FunctionName": WHOLE, "AuthType": "NONE"}),
    ("UpdateFunctionUrlConfig", {"FunctionName": WHOLE, "AuthType": "AWS_IAM"}),
    ("PutFunctionConcurrency", {"FunctionName": WHOLE, "ReservedConcurrentExecutions": 2}),
    ("PutRuntimeManagementConfig", {"FunctionName": WHOLE, "UpdateRuntimeOn": "FunctionUpdate"}),
    ("PutFunctionScalingConfig", {**ITS_VERSION, "FunctionScalingConfig": {"MinExecutionEnvironments": 1}}),
    ("PutProvisionedConcurrencyConfig", {**ITS_VERSION, **PROVISIONED}),
    ("GetProvisionedConcurrencyConfig", ITS_VERSION),
    ("GetFunctionScalingConfig", ITS_VERSION),
    ("DeleteProvisionedConcurrencyConfig", ITS_VERSION),
    *(
        (one, {"FunctionName": WHOLE})
        for one, more in of_functions()
        if one.startswith(("GetFunction", "List")) and not more
    ),
    ("GetRuntimeManagementConfig", {"FunctionName": WHOLE}),
    *(
        (one, {"CodeSigningConfigArn": "<csc>"})
        for one in ("GetCodeSigningConfig", "UpdateCodeSigningConfig", "ListFunctionsByCodeSigningConfig")
    ),
    *((one, {"UUID": "<mapping>"}) for one in ("GetEventSourceMapping", "UpdateEventSourceMapping")),
    ("GetLayerVersion", LAYER),
    ("GetLayerVersionByArn", {"Arn": f"{ARN}:layer:l:1"}),
    ("ListLayerVersions", {"LayerName": "l"}),
    ("GetLayerVersionPolicy", LAYER),
    *((one, {"FunctionName": "other"}) for one in ("Invoke", "InvokeWithResponseStream")),
    ("InvokeAsync", {"FunctionName": "other", "InvokeArgs": b"{}"}),
]
"""Requests that succeed when made in this order."""
LAST: list[tuple[str, dict[str, Any]]] = [
    ("DeleteFunctionConcurrency", {"FunctionName": WHOLE}),
    ("DeleteFunctionEventInvokeConfig", {"FunctionName": WHOLE}),
    ("DeleteFunctionUrlConfig", {"FunctionName": WHOLE}),
    ("DeleteFunctionCodeSigningConfig", {"FunctionName": WHOLE}),
    ("DeleteAlias", ITS_ALIAS),
    ("DeleteFunction", {"FunctionName": WHOLE}),
]
"""And what takes it all away again."""
