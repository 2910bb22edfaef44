"""Makes the resources of a plan through the Lambda API, or brings those that are there up to date.

A resource is found again by its physical name, which is the template's or `STACK-LOGICALNAME`: there is no other state.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from lambdad.stack.errors import StackError
from lambdad.stack.intrinsics import Scope
from lambdad.stack.plan import Plan, Resource
from lambdad.stack.requests import coerce, request_of
from lambdad.stack.sam import LOCAL_BUCKET
from lambdad.stack.settling import wait_until_settled
from lambdad.stack.target import Made, Names, Target

_UPDATABLE_CODE = ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri")
_INLINE_NAMES = {"python": "index.py", "nodejs": "index.js"}
_DEFAULTS: Mapping[str, Any] = {
    "Environment": {"Variables": {}},
    "Layers": [],
    "Description": "",
    "MemorySize": 128,
    "Timeout": 3,
}
"""AWS's, for what a template no longer says."""


def deploy(plan: Plan, target: Target, names: Names, scope: Scope, report: Callable[[Made], None]) -> None:
    """Make every resource in order; `report` hears of each. Raises StackError, and botocore's errors as they come."""
    for resource in plan.order:
        properties = scope.resolve(dict(resource.properties))
        made = _MAKERS[resource.kind](target, resource, properties)
        names.made[resource.name] = made
        report(made)


def zip_inline(source: str, runtime: str) -> bytes:
    """The zip of a program that stands in the template itself, under the name that AWS gives it. Raises StackError."""
    name = next((name for family, name in _INLINE_NAMES.items() if runtime.startswith(family)), None)
    if name is None:
        raise StackError(f"code in the template itself is for Python and Node.js, not for {runtime or 'no runtime'}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        info.external_attr = 0o100644 << 16
        archive.writestr(info, source)
    return buffer.getvalue()


def _request(target: Target, resource: Resource, properties: dict[str, Any], operation: str) -> dict[str, Any]:
    shape = target.client.meta.service_model.operation_model(operation).input_shape
    return request_of(resource.kind, resource.name, properties, shape)


def _function(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    client = target.client
    properties.setdefault("FunctionName", f"{target.stack}-{resource.name}")
    properties.setdefault("Role", target.role)
    properties["Code"] = _code(target, resource, properties)
    request = _request(target, resource, properties, "CreateFunction")
    name = request["FunctionName"]
    try:
        before = client.get_function_configuration(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        client.create_function(**request)
        change = "created"
    else:
        change = _update_function(client, request, before)
    configuration = wait_until_settled(client, name)
    _function_settings(target, name, properties)
    attributes = {"Arn": configuration["FunctionArn"]}
    return Made(name=resource.name, kind=resource.kind, ref=name, attributes=attributes, change=change)


def _update_function(client: Any, request: dict[str, Any], before: Mapping[str, Any]) -> str:
    """Bring a function that is there to what the request says. What it does not say goes back to AWS's default."""
    name = request["FunctionName"]
    if before.get("PackageType", "Zip") != request.get("PackageType", "Zip"):
        raise StackError(f"{name} cannot change its PackageType: `lambdad rm {name}` first")
    wait_until_settled(client, name)
    code = {key: request["Code"][key] for key in _UPDATABLE_CODE if key in request["Code"]}
    architectures = {"Architectures": request["Architectures"]} if "Architectures" in request else {}
    client.update_function_code(FunctionName=name, **code, **architectures)
    changed = wait_until_settled(client, name)
    members = client.meta.service_model.operation_model("UpdateFunctionConfiguration").input_shape.members
    wanted = {key: value for key, value in {**_DEFAULTS, **request}.items() if key in members}
    client.update_function_configuration(**wanted)
    if "Tags" in request:
        client.tag_resource(Resource=before["FunctionArn"], Tags=request["Tags"])
    return "unchanged" if changed.get("CodeSha256") == before.get("CodeSha256") else "updated"


def _code(target: Target, resource: Resource, properties: Mapping[str, Any]) -> dict[str, Any]:
    code = properties.get("Code")
    if not isinstance(code, dict):
        raise StackError(f"{resource.name} has no Code")
    if code.get("S3Bucket") == LOCAL_BUCKET:
        return {"ZipFile": target.packages[code["S3Key"]].content}
    inline = code.get("ZipFile")
    if isinstance(inline, str):
        return {"ZipFile": zip_inline(inline, str(properties.get("Runtime", "")))}
    return code


def _function_settings(target: Target, name: str, properties: Mapping[str, Any]) -> None:
    """What a function has beside its configuration."""
    client = target.client
    reserved = properties.get("ReservedConcurrentExecutions")
    if reserved is not None:
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=int(reserved))
    else:
        client.delete_function_concurrency(FunctionName=name)
    if properties.get("RecursiveLoop"):
        client.put_function_recursion_config(FunctionName=name, RecursiveLoop=properties["RecursiveLoop"])
    management = properties.get("RuntimeManagementConfig")
    if management:
        client.put_runtime_management_config(FunctionName=name, **management)


def _version(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    request = _request(target, resource, properties, "PublishVersion")
    published = target.client.publish_version(**request)
    version = published["Version"]
    wait_until_settled(target.client, request["FunctionName"], version)
    _provision(target, request["FunctionName"], version, properties)
    arn = published["FunctionArn"]
    attributes = {"Version": version, "FunctionArn": arn}
    return Made(name=resource.name, kind=resource.kind, ref=arn, attributes=attributes, change="published")


def _alias(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    client = target.client
    request = _request(target, resource, properties, "CreateAlias")
    request.setdefault("RoutingConfig", {"AdditionalVersionWeights": {}})
    try:
        alias, change = client.update_alias(**request), "updated"
    except client.exceptions.ResourceNotFoundException:
        alias, change = client.create_alias(**request), "created"
    _provision(target, request["FunctionName"], request["Name"], properties)
    arn = alias["AliasArn"]
    return Made(name=resource.name, kind=resource.kind, ref=arn, attributes={"AliasArn": arn}, change=change)


def _provision(target: Target, function: str, qualifier: str, properties: Mapping[str, Any]) -> None:
    wanted = properties.get("ProvisionedConcurrencyConfig")
    if not isinstance(wanted, dict):
        return
    count = wanted.get("ProvisionedConcurrentExecutions")
    target.client.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier=qualifier, ProvisionedConcurrentExecutions=int(str(count))
    )


def _layer_version(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    client = target.client
    properties.setdefault("LayerName", f"{target.stack}-{resource.name}")
    content = properties.get("Content")
    if isinstance(content, dict) and content.get("S3Bucket") == LOCAL_BUCKET:
        properties["Content"] = {"ZipFile": target.packages[content["S3Key"]].content}
    request = _request(target, resource, properties, "PublishLayerVersion")
    arn, change = _published_already(client, request), "unchanged"
    if arn is None:
        arn, change = client.publish_layer_version(**request)["LayerVersionArn"], "published"
    attributes = {"LayerVersionArn": arn}
    return Made(name=resource.name, kind=resource.kind, ref=arn, attributes=attributes, change=change)


def _published_already(client: Any, request: Mapping[str, Any]) -> str | None:
    """The newest version of a layer, if it is what the request would publish."""
    newest = client.list_layer_versions(LayerName=request["LayerName"], MaxItems=1)["LayerVersions"]
    content = request["Content"].get("ZipFile")
    if not newest or content is None:
        return None
    told = client.get_layer_version_by_arn(Arn=newest[0]["LayerVersionArn"])
    described = ("Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
    is_same = told["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode() and all(
        (told.get(key) or None) == (request.get(key) or None) for key in described
    )
    arn: str = told["LayerVersionArn"]
    return arn if is_same else None


def _layer_permission(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    client = target.client
    request = _request(target, resource, properties, "AddLayerVersionPermission")
    statement = {key: request[key] for key in ("LayerName", "VersionNumber", "StatementId")}
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):
        client.remove_layer_version_permission(**statement)
    client.add_layer_version_permission(**request)
    return Made(name=resource.name, kind=resource.kind, ref=resource.name, attributes={}, change="updated")


def _permission(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    client = target.client
    request = _request(target, resource, properties, "AddPermission")
    try:
        client.remove_permission(FunctionName=request["FunctionName"], StatementId=resource.name)
        change = "updated"
    except client.exceptions.ResourceNotFoundException:
        change = "created"
    client.add_permission(**request)
    return Made(name=resource.name, kind=resource.kind, ref=resource.name, attributes={}, change=change)


def _url(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    client = target.client
    request = _request(target, resource, properties, "CreateFunctionUrlConfig")
    try:
        client.update_function_url_config(**request)
        change = "updated"
    except client.exceptions.ResourceNotFoundException:
        client.create_function_url_config(**request)
        change = "created"
    place = {key: request[key] for key in ("FunctionName", "Qualifier") if key in request}
    told = client.get_function_url_config(**place)
    attributes = {"FunctionUrl": told["FunctionUrl"], "FunctionArn": told["FunctionArn"]}
    return Made(name=resource.name, kind=resource.kind, ref=told["FunctionArn"], attributes=attributes, change=change)


def _event_invoke_config(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    request = _request(target, resource, properties, "PutFunctionEventInvokeConfig")
    target.client.put_function_event_invoke_config(**request)
    ref = f"{request['FunctionName']}|{request.get('Qualifier', '$LATEST')}"
    return Made(name=resource.name, kind=resource.kind, ref=ref, attributes={}, change="updated")


def _event_source_mapping(target: Target, resource: Resource, properties: dict[str, Any]) -> Made:
    client = target.client
    properties.pop("Tags", None)
    request = _request(target, resource, properties, "CreateEventSourceMapping")
    found = client.list_event_source_mappings(
        FunctionName=request["FunctionName"],
        **({"EventSourceArn": request["EventSourceArn"]} if "EventSourceArn" in request else {}),
    )["EventSourceMappings"]
    if found:
        shape = client.meta.service_model.operation_model("UpdateEventSourceMapping").input_shape
        changes = {key: value for key, value in request.items() if key in shape.members}
        mapping = client.update_event_source_mapping(UUID=found[0]["UUID"], **coerce(changes, shape, resource.name))
        change = "updated"
    else:
        mapping, change = client.create_event_source_mapping(**request), "created"
    attributes = {"Id": mapping["UUID"], "EventSourceMappingArn": mapping.get("EventSourceMappingArn", "")}
    return Made(name=resource.name, kind=resource.kind, ref=mapping["UUID"], attributes=attributes, change=change)


_MAKERS: Mapping[str, Callable[[Target, Resource, dict[str, Any]], Made]] = {
    "AWS::Lambda::Alias": _alias,
    "AWS::Lambda::EventInvokeConfig": _event_invoke_config,
    "AWS::Lambda::EventSourceMapping": _event_source_mapping,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::LayerVersion": _layer_version,
    "AWS::Lambda::LayerVersionPermission": _layer_permission,
    "AWS::Lambda::Permission": _permission,
    "AWS::Lambda::Url": _url,
    "AWS::Lambda::Version": _version,
}
