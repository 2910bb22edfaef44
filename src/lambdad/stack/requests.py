"""From CloudFormation's properties to the parameters of the Lambda API. Pure.

They mostly have the same names. What differs is here; types are taken from the service model, since templates may write
numbers and truth values as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from lambdad.stack.errors import StackError

_ELSEWHERE = {
    "AWS::Lambda::Function": {
        "ReservedConcurrentExecutions",
        "RuntimeManagementConfig",
        "RecursiveLoop",
        "FunctionScalingConfig",
        "PublishToLatestPublished",
    },
    "AWS::Lambda::Version": {"ProvisionedConcurrencyConfig", "RuntimePolicy", "FunctionScalingConfig"},
    "AWS::Lambda::Alias": {"ProvisionedConcurrencyConfig"},
}
"""Properties that are requests of their own, see `lambdad.stack.deployment`."""


def request_of(kind: str, name: str, properties: Mapping[str, Any], shape: StructureShape) -> dict[str, Any]:
    """The request that makes a resource. shape: that of its input. Raises StackError for what it does not know."""
    given = {key: value for key, value in properties.items() if key not in _ELSEWHERE.get(kind, set())}
    match kind:
        case "AWS::Lambda::Function":
            given = _function(given)
        case "AWS::Lambda::Alias":
            given = _alias(given)
        case "AWS::Lambda::Url":
            given["FunctionName"] = given.pop("TargetFunctionArn", None)
        case "AWS::Lambda::Permission":
            given["StatementId"] = name
        case "AWS::Lambda::LayerVersionPermission":
            given = _layer_permission(name, given)
    present = {key: value for key, value in given.items() if value is not None}
    result: dict[str, Any] = coerce(present, shape, name)
    return result


def coerce(value: Any, shape: Shape, path: str) -> Any:
    """`value` in the types of `shape`. Raises StackError with the path of what does not fit."""
    match shape:
        case StructureShape():
            members = _mapping(value, path)
            for key in members:
                if key not in shape.members:
                    raise StackError(f"{path}.{key} is not known to this Lambda API")
            return {key: coerce(item, shape.members[key], f"{path}.{key}") for key, item in members.items()}
        case ListShape():
            if not isinstance(value, list):
                raise StackError(f"{path} must be a list, not {value!r}")
            return [coerce(item, shape.member, f"{path}[{index}]") for index, item in enumerate(value)]
        case MapShape():
            return {str(key): coerce(item, shape.value, f"{path}.{key}") for key, item in _mapping(value, path).items()}
    return _scalar(value, shape.type_name, path)


def _scalar(value: Any, kind: str, path: str) -> Any:
    try:
        match kind:
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "boolean":
                return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
            case "string" if isinstance(value, bool):
                return "true" if value else "false"
            case "string" if isinstance(value, str | int | float):
                return str(value)
            case "blob" if isinstance(value, bytes):
                return value
    except (ValueError, TypeError, KeyError):
        pass
    raise StackError(f"{path} must be a {kind}, not {value!r}")


def _mapping(value: Any, path: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise StackError(f"{path} must be a mapping, not {value!r}")
    return value


def _function(given: dict[str, Any]) -> dict[str, Any]:
    tags = given.pop("Tags", None)
    if isinstance(tags, list):
        given["Tags"] = {tag["Key"]: tag["Value"] for tag in tags}
    elif tags is not None:
        given["Tags"] = tags
    snap_start = given.get("SnapStart")
    if isinstance(snap_start, dict):
        given["SnapStart"] = {"ApplyOn": snap_start.get("ApplyOn", "None")}
    return given


def _alias(given: dict[str, Any]) -> dict[str, Any]:
    routing = given.get("RoutingConfig")
    weights = routing.get("AdditionalVersionWeights") if isinstance(routing, dict) else None
    if isinstance(weights, list):
        pairs = {str(item["FunctionVersion"]): item["FunctionWeight"] for item in weights}
        given["RoutingConfig"] = {"AdditionalVersionWeights": pairs}
    return given


def _layer_permission(name: str, given: dict[str, Any]) -> dict[str, Any]:
    layer, _, version = str(given.pop("LayerVersionArn", "")).rpartition(":")
    return {**given, "LayerName": layer, "VersionNumber": version, "StatementId": name}
