"""The table of operations and the errors that the service model gives them: each is caused here, or has a reason.

What `ServiceException` and `TooManyRequestsException` are for does not happen to the control plane: nothing here is
throttled, and a failure of lambdad itself has no request that causes it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.control.interface import Quotas
from lambdad.model.errors import ApiError
from lambdad.testing.control_plane import Plane, make_zip, new_function, with_plane
from lambdad.testing.shapes import service_model

ARN = "arn:aws:lambda:eu-west-1:123456789012"
CSC = f"{ARN}:code-signing-config:csc-0123456789abcdef0"
UUID = "00000000-0000-0000-0000-000000000000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
PERMISSION = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
LAYER_PERMISSION = {"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}
PUBLISHERS = {"SigningProfileVersionArns": ["arn:aws:signer:eu-west-1:123456789012:/signing-profiles/p/abcdefghij"]}
TOO_MANY = {str(number): "" for number in range(51)}

NOT_CAUSED = {
    "ServiceException": "a failure of lambdad itself",
    "TooManyRequestsException": "the control plane is not throttled",
    "InvalidCodeSignatureException": "signatures are not read: code is unsigned, which is CodeVerificationFailed",
    "FunctionVersionsPerCapacityProviderLimitExceededException": "there are no capacity providers",
    "AliasLimitExceededException": "aliases are not limited",
    "PublicPolicyException": "there is no switch that blocks public policies",
    "ResourceInUseException": "mappings change at once",
}
"""Errors that no operation answers."""
NEVER = {
    "ResourceConflictException": "a record is replaced in one transaction: there is nothing to be in conflict with",
    "InvalidParameterValueException": "every wrong value is refused by the model's constraints, as ValidationException",
    "ResourceNotFoundException": "a list of nothing is empty, and what is removed may have been removed before",
    "CodeSigningConfigNotFoundException": "a configuration stays as long as a function has it",
    "CodeStorageExceededException": "a version is made of code that is there already",
}
"""Errors that some operations answer; why the others, which are not in CASES, do not."""


def _of_functions() -> list[tuple[str, dict[str, Any]]]:
    """Operations on one function that need a few parameters more."""
    return [
        ("GetFunction", {}),
        ("GetFunctionConfiguration", {}),
        ("DeleteFunction", {}),
        ("UpdateFunctionCode", {"ZipFile": make_zip()}),
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
        ("PutFunctionCodeSigningConfig", {"CodeSigningConfigArn": "csc"}),
        ("GetFunctionCodeSigningConfig", {}),
        ("DeleteFunctionCodeSigningConfig", {}),
        ("PutRuntimeManagementConfig", {"UpdateRuntimeOn": "Auto"}),
        ("GetRuntimeManagementConfig", {}),
        ("PutFunctionScalingConfig", {"Qualifier": "1"}),
        ("GetFunctionScalingConfig", {"Qualifier": "1"}),
        ("PutProvisionedConcurrencyConfig", {"Qualifier": "1", "ProvisionedConcurrentExecutions": 1}),
        ("GetProvisionedConcurrencyConfig", {"Qualifier": "1"}),
        ("DeleteProvisionedConcurrencyConfig", {"Qualifier": "1"}),
        ("ListProvisionedConcurrencyConfigs", {}),
    ]


MISSING = [(name, {"FunctionName": "none", **more}) for name, more in _of_functions()] + [
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
    ("PutResourcePolicy", {"ResourceArn": f"{ARN}:function:none", "Policy": "document"}),
    ("DeleteResourcePolicy", {"ResourceArn": f"{ARN}:function:none"}),
    ("ListEventSourceMappings", {"FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:f"}),
    ("CreateFunction", new_function("arn:aws:lambda:us-east-1:123456789012:function:f")),
]
QUALIFIED = {
    name for name, _ in _of_functions() if "Qualifier" in service_model().operation_model(name).input_shape.members
}
"""They take `f:1` together with another qualifier for a mistake; the others take any version for one."""
INVALID = [
    (name, {"FunctionName": "f:1", **more, **({"Qualifier": "2"} if name in QUALIFIED else {})})
    for name, more in _of_functions()
    if name not in ("ListVersionsByFunction", "ListFunctionEventInvokeConfigs", "ListFunctionUrlConfigs")
] + [
    ("ListVersionsByFunction", {"FunctionName": "f", "Marker": "x"}),
    ("ListFunctionEventInvokeConfigs", {"FunctionName": "f", "Marker": "x"}),
    ("ListFunctionUrlConfigs", {"FunctionName": "f", "Marker": "x"}),
    ("ListFunctions", {"Marker": "x"}),
    ("ListLayers", {"Marker": "x"}),
    ("ListLayerVersions", {"LayerName": "l", "Marker": "x"}),
    ("ListEventSourceMappings", {"Marker": "x"}),
    ("ListCodeSigningConfigs", {"Marker": "x"}),
    ("ListFunctionsByCodeSigningConfig", {"CodeSigningConfigArn": CSC, "Marker": "x"}),
    ("CreateFunction", new_function("g", Code={})),
    ("CreateCodeSigningConfig", {"AllowedPublishers": PUBLISHERS, "Tags": TOO_MANY}),
    ("CreateEventSourceMapping", {"FunctionName": "none", "EventSourceArn": QUEUE}),
    ("UpdateEventSourceMapping", {"UUID": "mapping", "BatchSize": 100}),
    ("PublishLayerVersion", {"LayerName": "l", "Content": {}}),
    ("GetLayerVersion", {"LayerName": "l", "VersionNumber": 0}),
    ("GetLayerVersionByArn", {"Arn": f"{ARN}:layer:l"}),
    ("DeleteLayerVersion", {"LayerName": "l", "VersionNumber": 0}),
    ("GetLayerVersionPolicy", {"LayerName": "l", "VersionNumber": 0}),
    ("AddLayerVersionPermission", {"LayerName": "l", "VersionNumber": 0, **LAYER_PERMISSION}),
    ("RemoveLayerVersionPermission", {"LayerName": "l", "VersionNumber": 0, "StatementId": "s"}),
    ("TagResource", {"Resource": f"{ARN}:function:f:1", "Tags": {"a": "b"}}),
    ("UntagResource", {"Resource": f"{ARN}:function:f:1", "TagKeys": ["a"]}),
    ("ListTags", {"Resource": f"{ARN}:function:f:1"}),
    ("GetResourcePolicy", {"ResourceArn": f"{ARN}:layer:l:1"}),
    ("PutResourcePolicy", {"ResourceArn": f"{ARN}:function:f", "Policy": "x"}),
    ("DeleteResourcePolicy", {"ResourceArn": f"{ARN}:layer:l:1"}),
]
CONFLICT = [
    ("CreateFunction", new_function("f")),
    ("CreateAlias", {"FunctionName": "f", "Name": "a", "FunctionVersion": "1"}),
    ("CreateFunctionUrlConfig", {"FunctionName": "f", "AuthType": "NONE"}),
    ("CreateEventSourceMapping", {"FunctionName": "f", "EventSourceArn": QUEUE}),
    ("AddPermission", {"FunctionName": "f", **PERMISSION}),
    ("AddLayerVersionPermission", {"LayerName": "l", "VersionNumber": 1, **LAYER_PERMISSION}),
    ("DeleteFunction", {"FunctionName": "f", "Qualifier": "1"}),
    ("DeleteCodeSigningConfig", {"CodeSigningConfigArn": "csc"}),
    ("PutProvisionedConcurrencyConfig", {"FunctionName": "f", "Qualifier": "1", "ProvisionedConcurrentExecutions": 1}),
    ("UpdateFunctionCode", {"FunctionName": "held", "ZipFile": make_zip()}),
    ("UpdateFunctionConfiguration", {"FunctionName": "held", "Timeout": 5}),
    ("PublishVersion", {"FunctionName": "held"}),
    ("TagResource", {"Resource": f"{ARN}:function:held", "Tags": {"a": "b"}}),
]
STALE: list[tuple[str, dict[str, Any]]] = [
    ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": make_zip()}),
    ("UpdateFunctionConfiguration", {"FunctionName": "f"}),
    ("PublishVersion", {"FunctionName": "f"}),
    ("UpdateAlias", {"FunctionName": "f", "Name": "a"}),
    ("AddPermission", {"FunctionName": "f", **PERMISSION, "StatementId": "t"}),
    ("RemovePermission", {"FunctionName": "f", "StatementId": "s"}),
    ("AddLayerVersionPermission", {"LayerName": "l", "VersionNumber": 1, **LAYER_PERMISSION, "StatementId": "t"}),
    ("RemoveLayerVersionPermission", {"LayerName": "l", "VersionNumber": 1, "StatementId": "s"}),
    ("PutResourcePolicy", {"ResourceArn": f"{ARN}:function:f", "Policy": "document"}),
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
        ("CreateFunction", new_function("g", CodeSigningConfigArn="csc")),
        ("UpdateFunctionCode", {"FunctionName": "signed", "ZipFile": make_zip()}),
        ("UpdateFunctionConfiguration", {"FunctionName": "signed", "Layers": [f"{ARN}:layer:l:1"]}),
    ],
    "CodeStorageExceededException": [
        ("CreateFunction", new_function("g", Code={"ZipFile": make_zip({"main.py": "", "big": "big"})})),
        ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": make_zip({"main.py": "", "big": "big"})}),
        ("PublishLayerVersion", {"LayerName": "l", "Content": {"ZipFile": make_zip({"big": "big"})}}),
    ],
    "ProvisionedConcurrencyConfigNotFoundException": [
        ("GetProvisionedConcurrencyConfig", {"FunctionName": "f", "Qualifier": "2"}),
    ],
    "PolicyLengthExceededException": [
        ("AddPermission", {"FunctionName": "f", **PERMISSION, "StatementId": "n" * 100}),
        (
            "AddLayerVersionPermission",
            {"LayerName": "l", "VersionNumber": 1, **LAYER_PERMISSION, "StatementId": "n" * 100},
        ),
        ("PutResourcePolicy", {"ResourceArn": f"{ARN}:function:f", "Policy": "document"}),
    ],
}


async def fill(plane: Plane) -> dict[str, str]:
    """What the cases are about; returns what stands for names that only creation gives."""
    await plane.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": make_zip()})
    await plane.call("AddLayerVersionPermission", LayerName="l", VersionNumber=1, **LAYER_PERMISSION)
    config = await plane.call(
        "CreateCodeSigningConfig",
        AllowedPublishers=PUBLISHERS,
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    await plane.create("f")
    await plane.create("signed")
    arn = config["CodeSigningConfig"]["CodeSigningConfigArn"]
    await plane.call("PutFunctionCodeSigningConfig", FunctionName="signed", CodeSigningConfigArn=arn)
    await plane.call("PublishVersion", FunctionName="f")
    await plane.update("f", Description="second")
    await plane.call("PublishVersion", FunctionName="f")
    await plane.call("CreateAlias", FunctionName="f", Name="a", FunctionVersion="1")
    await plane.call(
        "PutProvisionedConcurrencyConfig", FunctionName="f", Qualifier="a", ProvisionedConcurrentExecutions=1
    )
    await plane.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    await plane.call("AddPermission", FunctionName="f", **PERMISSION)
    mapping = await plane.call("CreateEventSourceMapping", FunctionName="f", EventSourceArn=QUEUE)
    await plane.create("held")
    plane.preparer.hold()
    await plane.call("UpdateFunctionConfiguration", FunctionName="held", Timeout=4)
    return {"csc": arn, "mapping": mapping["UUID"]}


def _filled(params: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    return {name: known.get(value, value) if isinstance(value, str) else value for name, value in params.items()}


@pytest.mark.parametrize("code", [code for code in CASES if code != "CodeStorageExceededException"])
def test_every_error_of_the_table_is_caused(code: str, tmp_path: Any) -> None:
    @with_plane()
    async def run(plane: Plane) -> None:
        known = await fill(plane)
        known["document"] = _document(f"{ARN}:function:{'none' if code == 'ResourceNotFoundException' else 'f'}")
        if code == "PolicyLengthExceededException":
            await _fill_policies(plane)
            known["document"] = _document(f"{ARN}:function:f", {"StringEquals": {"a": "x" * 20_480}})
        for name, params in CASES[code]:
            found = await plane.fails(name, **_filled(params, known))
            assert found[0] == code, f"{name}: {found}"

    run(tmp_path)


@with_plane(quotas=Quotas(code_storage=100))
async def test_no_package_fits_into_less_than_it_has(plane: Plane) -> None:
    for name, params in CASES["CodeStorageExceededException"]:
        if name != "UpdateFunctionCode":
            assert (await plane.fails(name, **params))[0] == "CodeStorageExceededException", name


@with_plane(quotas=Quotas(code_storage=2 * len(make_zip())))
async def test_an_update_is_counted_too(plane: Plane) -> None:
    await plane.create("f")
    await plane.create("g")
    (case,) = [params for name, params in CASES["CodeStorageExceededException"] if name == "UpdateFunctionCode"]
    assert (await plane.fails("UpdateFunctionCode", **case))[0] == "CodeStorageExceededException"


def test_the_table_is_whole() -> None:
    """Every modelled error of every built operation is a case, or has its reason."""
    caused = {(name, code) for code, cases in CASES.items() for name, _ in cases}
    for name, code in caused:
        assert code in _errors(name), f"the model gives {name} no {code}"
    for name in service_model().operation_names:
        for code in _errors(name):
            assert (name, code) in caused or code in NOT_CAUSED or code in NEVER, f"{name} {code}: no case, no reason"


def _errors(name: str) -> set[str]:
    if name.startswith("Invoke") or "Durable" in name or "CapacityProvider" in name:
        return set()  # the frontend's, and what is not built
    return {shape.name for shape in service_model().operation_model(name).error_shapes}


def _document(resource: str, condition: dict[str, Any] | None = None) -> str:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": resource}
    more = {} if condition is None else {"Condition": condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**statement, **more}]})


async def _fill_policies(plane: Plane) -> None:
    """Statements until there is no room for another."""
    of_layer = {"LayerName": "l", "VersionNumber": 1, **LAYER_PERMISSION}
    for name, params in (
        ("AddPermission", {"FunctionName": "f", **PERMISSION}),
        ("AddLayerVersionPermission", of_layer),
    ):
        with pytest.raises(ApiError, match="bigger than the limit"):
            for number in range(200):
                await plane.call(name, **{**params, "StatementId": f"{number:0100}"})
