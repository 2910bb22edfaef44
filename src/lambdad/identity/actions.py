"""Which permission an operation of the Lambda API needs, and on what. Pure.

Source: "Actions, resources, and condition keys for AWS Lambda", Service Authorization Reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdad.model.arn import LATEST, Namespace, function_arn, layer_arn, parse_function_reference

INVOKE = "lambda:InvokeFunction"
INVOKE_URL = "lambda:InvokeFunctionUrl"

_NAMED_OTHERWISE = {
    "Invoke": INVOKE,
    "InvokeAsync": INVOKE,
    "InvokeWithResponseStream": INVOKE,
    "GetLayerVersionByArn": "lambda:GetLayerVersion",
}
_ARN_MEMBERS = ("Resource", "ResourceArn", "CodeSigningConfigArn", "Arn")
_WITHOUT_RESOURCE = frozenset({"CreateEventSourceMapping", "ListEventSourceMappings"})
"""They name a function, but their permission is on `*`, with `lambda:FunctionArn` as a condition key."""
_OF_ALIASES = frozenset({"GetAlias", "UpdateAlias", "DeleteAlias"})
SHARED = frozenset(
    {
        "CreateAlias",
        "DeleteAlias",
        "DeleteFunction",
        "DeleteFunctionConcurrency",
        "GetAlias",
        "GetFunction",
        "GetFunctionConfiguration",
        "GetPolicy",
        "InvokeAsync",
        "ListAliases",
        "ListTags",
        "ListVersionsByFunction",
        "PublishVersion",
        "PutFunctionConcurrency",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateFunctionCode",
    }
)
"""What a function's policy may allow to other accounts, besides its invocation.

Source: "Granting cross-account access to functions", AWS Lambda Developer Guide.
"""
POLICY_OPERATIONS = frozenset(
    {"AddPermission", "DeleteResourcePolicy", "GetPolicy", "GetResourcePolicy", "PutResourcePolicy", "RemovePermission"}
)
"""What the root of the owning account may do whatever the policy says: a policy cannot lock out who owns it."""


@dataclass(frozen=True, slots=True)
class FunctionKey:
    """Whose resource policy is asked. qualifier: `$LATEST`, a version or an alias."""

    owner: Namespace
    name: str
    qualifier: str


def action_of(operation: str) -> str:
    """The permission that an operation needs."""
    return _NAMED_OTHERWISE.get(operation, f"lambda:{operation}")


def resource_of(operation: str, params: Mapping[str, Any], here: Namespace) -> str:
    """The ARN that an operation is about; `*` if it is about none."""
    if operation in _WITHOUT_RESOURCE:
        return "*"
    if "UUID" in params:
        return f"arn:aws:lambda:{here.region}:{here.account}:event-source-mapping:{params['UUID']}"
    if "FunctionName" in params:
        return function_resource(str(params["FunctionName"]), params.get("Qualifier"), here)
    if "LayerName" in params:
        name = str(params["LayerName"])
        arn = name if name.startswith("arn:") else layer_arn(here, name)
        return f"{arn}:{params['VersionNumber']}" if "VersionNumber" in params else arn
    return next((str(params[name]) for name in _ARN_MEMBERS if name in params), "*")


def function_of(operation: str, params: Mapping[str, Any], here: Namespace) -> FunctionKey | None:
    """The function whose policy has a say in an operation; None if the operation is about no function."""
    if operation in _WITHOUT_RESOURCE or "UUID" in params:
        return None
    text = params.get("FunctionName", params.get("Resource", params.get("ResourceArn", "")))
    reference = parse_function_reference(str(text))
    if reference is None or (reference.region or here.region) != here.region:
        return None
    qualifier = params["Name"] if operation in _OF_ALIASES else params.get("Qualifier") or reference.qualifier
    return FunctionKey(Namespace(reference.account or here.account, here.region), reference.name, qualifier or LATEST)


def function_resource(text: str, qualifier: str | None, here: Namespace) -> str:
    """The ARN of what a caller wrote as a function's name."""
    reference = parse_function_reference(text)
    if reference is None:
        return text
    owner = Namespace(reference.account or here.account, reference.region or here.region)
    named = qualifier or reference.qualifier
    return function_arn(owner, reference.name, None if named == LATEST else named)


def context_of(operation: str, params: Mapping[str, Any], here: Namespace) -> dict[str, str | Sequence[str]]:
    """The condition keys that an operation's parameters give, in lower case."""
    context: dict[str, str | Sequence[str]] = {}
    if (operation in _WITHOUT_RESOURCE or "UUID" in params) and "FunctionName" in params:
        context["lambda:functionarn"] = function_resource(str(params["FunctionName"]), None, here)
    if isinstance(params.get("Layers"), list):
        context["lambda:layer"] = [str(layer) for layer in params["Layers"]]
    if "CodeSigningConfigArn" in params:
        context["lambda:codesigningconfigarn"] = str(params["CodeSigningConfigArn"])
    if isinstance(params.get("VpcConfig"), Mapping):
        for member in ("SubnetIds", "SecurityGroupIds"):
            context[f"lambda:{member}".lower()] = [str(one) for one in params["VpcConfig"].get(member) or ()]
    if "Principal" in params:
        context["lambda:principal"] = str(params["Principal"])
    auth = params.get("AuthType", params.get("FunctionUrlAuthType"))
    if auth is not None:
        context["lambda:functionurlauthtype"] = str(auth)
    if isinstance(params.get("TagKeys"), list):
        context["aws:tagkeys"] = [str(key) for key in params["TagKeys"]]
    if isinstance(params.get("Tags"), Mapping):
        context["aws:tagkeys"] = list(params["Tags"])
        context.update({f"aws:requesttag/{key}".lower(): str(value) for key, value in params["Tags"].items()})
    return context
