"""A function's configuration, from the parameters of CreateFunction and UpdateFunctionConfiguration. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.control.interface import Params
from lambdad.model import limits
from lambdad.model.errors import invalid_parameter, not_found
from lambdad.model.function import Durable, FileSystem, ImageOverride, LayerUse, Logging, Settings, VpcConfig

RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)

_UNSUPPORTED = {
    "CapacityProviderConfig": "capacity providers",
    "RuntimeConfig": "customer-managed runtimes",
    "AcceleratorConfig": "accelerators",
}


def new_settings(params: Params, name: str) -> Settings:
    """The settings of a new function, layers aside; AWS's defaults for what is not given."""
    empty = Settings(
        role=params["Role"],
        timeout_s=limits.TIMEOUT_DEFAULT_S,
        memory_mb=limits.MEMORY_DEFAULT_MB,
        ephemeral_mb=limits.EPHEMERAL_DEFAULT_MB,
        logging=Logging(log_group=f"/aws/lambda/{name}"),
        tenancy=params.get("TenancyConfig", {}).get("TenantIsolationMode"),
    )
    return changed_settings(empty, params)


def changed_settings(before: Settings, params: Params) -> Settings:
    """`before` with the members of `params` that are given; layers aside, which need the store."""
    _check_unsupported(params)
    changes: dict[str, Any] = {
        member: params[key]
        for key, member in (
            ("Role", "role"),
            ("Runtime", "runtime"),
            ("Handler", "handler"),
            ("Description", "description"),
            ("Timeout", "timeout_s"),
            ("MemorySize", "memory_mb"),
            ("KMSKeyArn", "kms_key_arn"),
        )
        if key in params
    }
    if "EphemeralStorage" in params:
        changes["ephemeral_mb"] = params["EphemeralStorage"]["Size"]
    if "Environment" in params:
        variables = params["Environment"].get("Variables", {})
        check_environment(variables)
        changes["environment"] = dict(variables)
    if "VpcConfig" in params:
        changes["vpc"] = _vpc(params["VpcConfig"])
    if "DeadLetterConfig" in params:
        changes["dead_letter_arn"] = _dead_letter(params["DeadLetterConfig"].get("TargetArn", ""))
    if "TracingConfig" in params:
        changes["tracing"] = params["TracingConfig"].get("Mode", "PassThrough")
    if "FileSystemConfigs" in params:
        changes["file_systems"] = tuple(_file_system(system) for system in params["FileSystemConfigs"])
    if "ImageConfig" in params:
        changes["image_override"] = _image_override(params["ImageConfig"])
    if "SnapStart" in params:
        changes["snap_start"] = params["SnapStart"].get("ApplyOn", "None")
    if "LoggingConfig" in params:
        changes["logging"] = changed_logging(before.logging, params["LoggingConfig"])
    if "DurableConfig" in params:
        changes["durable"] = _durable(params["DurableConfig"])
    return replace(before, **changes)


def check_environment(variables: Mapping[str, str]) -> None:
    """AWS's two rules: 4 KB as JSON, and no names that the platform sets."""
    measured = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > limits.ENVIRONMENT_MAX:
        raise invalid_parameter(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {measured}"
        )
    reserved = [name for name in variables if name in RESERVED_VARIABLES]
    if reserved:
        raise invalid_parameter(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )


def changed_logging(before: Logging, given: Params) -> Logging:
    """Levels exist in JSON only: INFO when JSON is switched on without them, gone when it is switched off."""
    log_format = given.get("LogFormat", before.log_format)
    log_group = given.get("LogGroup", before.log_group)
    if log_format == "Text":
        if "ApplicationLogLevel" in given or "SystemLogLevel" in given:
            raise invalid_parameter(
                "ApplicationLogLevel and SystemLogLevel can only be set when LogFormat is JSON: "
                "functions that log text are not filtered."
            )
        return Logging(log_group=log_group)
    return Logging(
        log_format=log_format,
        application_level=given.get("ApplicationLogLevel", before.application_level or "INFO"),
        system_level=given.get("SystemLogLevel", before.system_level or "INFO"),
        log_group=log_group,
    )


def check_total_size(unzipped_size: int, layers: tuple[LayerUse, ...], limit: int) -> None:
    """Function and layers together. Sizes: bytes."""
    total = unzipped_size + sum(layer.unzipped_size for layer in layers)
    if layers and total > limit:
        raise invalid_parameter(
            f"Function code combined with layers exceeds the maximum allowed size of {limit} bytes. "
            f"The actual size is {total} bytes."
        )


def _check_unsupported(params: Params) -> None:
    config = params.get("CapacityProviderConfig", {}).get("LambdaManagedInstancesCapacityProviderConfig")
    if config is not None:
        raise not_found(f"Capacity provider not found: {config['CapacityProviderArn']}")
    for member, what in _UNSUPPORTED.items():
        if member in params:
            raise invalid_parameter(f"{member}: this platform has no {what}.")


def _vpc(given: Params) -> VpcConfig:
    subnets, groups = tuple(given.get("SubnetIds", ())), tuple(given.get("SecurityGroupIds", ()))
    if bool(subnets) != bool(groups):
        raise invalid_parameter("SubnetIds and SecurityIds must coexist or be both empty list.")
    vpc_id = "vpc-" + hashlib.sha256(",".join(sorted(subnets)).encode()).hexdigest()[:17] if subnets else ""
    return VpcConfig(
        subnet_ids=subnets,
        security_group_ids=groups,
        vpc_id=vpc_id,
        ipv6_allowed=bool(given.get("Ipv6AllowedForDualStack", False)),
    )


def _dead_letter(arn: str) -> str:
    if arn and arn.split(":")[2] not in ("sqs", "sns"):
        raise invalid_parameter(
            f"The dead letter target {arn} is invalid: it must be the ARN of an SQS queue or SNS topic."
        )
    return arn


def _file_system(given: Params) -> FileSystem:
    return FileSystem(
        arn=given["Arn"],
        mount_path=given["LocalMountPath"],
        direct_s3_read=given.get("S3FilesConfig", {}).get("DirectS3Read"),
    )


def _image_override(given: Params) -> ImageOverride | None:
    if not given:
        return None
    entry_point, command = given.get("EntryPoint"), given.get("Command")
    return ImageOverride(
        entry_point=None if entry_point is None else tuple(entry_point),
        command=None if command is None else tuple(command),
        working_directory=given.get("WorkingDirectory"),
    )


def _durable(given: Params) -> Durable:
    return Durable(
        execution_timeout=given.get("ExecutionTimeout"),
        retention=given.get("RetentionPeriodInDays"),
        kms_key_arn=given.get("KMSKeyArn"),
    )
