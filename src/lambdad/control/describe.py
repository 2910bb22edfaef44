"""Records as AWS's JSON: pure functions from `model` to the shapes of the service model."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

from lambdad.model.arn import function_arn
from lambdad.model.function import Alias, FunctionVersion, Settings, Status
from lambdad.store.codec import encode


def timestamp(moment: float) -> str:
    """AWS's time in text, such as `2026-01-02T03:04:05.678+0000`. moment: epoch seconds."""
    time = datetime.fromtimestamp(moment, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}+0000"


def seconds(moment: float) -> str:
    """As `timestamp`, in whole seconds: provisioned concurrency shows it so."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}+0000"


def iso_time(moment: float) -> str:
    """ISO 8601 as function URLs show it, such as `2026-01-02T03:04:05.678901Z`."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def describe_version(version: FunctionVersion, qualifier: str | None) -> dict[str, Any]:
    """A FunctionConfiguration. qualifier: how the caller named it, for the ARN; None leaves the ARN unqualified."""
    settings, package = version.settings, version.package
    shape: dict[str, Any] = {
        "FunctionName": version.name,
        "FunctionArn": function_arn(version.namespace, version.name, qualifier),
        "Role": settings.role,
        "CodeSize": package.size,
        "Description": settings.description,
        "Timeout": settings.timeout_s,
        "MemorySize": settings.memory_mb,
        "LastModified": timestamp(version.last_modified),
        "CodeSha256": package.sha256,
        "Version": version.version,
        "TracingConfig": {"Mode": settings.tracing},
        "RevisionId": version.revision_id,
        "PackageType": package.type,
        "Architectures": [package.architecture],
        "EphemeralStorage": {"Size": settings.ephemeral_mb},
        "SnapStart": _snap_start(version),
        "LoggingConfig": _logging(settings),
        "ConfigSha256": config_sha256(settings),
    }
    shape |= _status("State", version.state) | _status("LastUpdateStatus", version.last_update)
    if settings.runtime is not None:
        shape["Runtime"] = settings.runtime
        shape["RuntimeVersionConfig"] = {"RuntimeVersionArn": runtime_version_arn(version)}
    if settings.handler is not None:
        shape["Handler"] = settings.handler
    return shape | _optional(settings)


def describe_listed(version: FunctionVersion, qualifier: str | None) -> dict[str, Any]:
    """A FunctionConfiguration as lists show it: without states and runtime version."""
    shape = describe_version(version, qualifier)
    hidden = ("State", "LastUpdateStatus", "RuntimeVersionConfig")
    return {member: value for member, value in shape.items() if not member.startswith(hidden)}


def describe_alias(alias: Alias) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "AliasArn": alias.arn,
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    if alias.weights:
        shape["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return shape


def config_sha256(settings: Settings) -> str:
    """Base64 of the SHA-256 of the configuration; equal for equal configurations."""
    return base64.b64encode(hashlib.sha256(encode(settings).encode()).digest()).decode()


def runtime_version_arn(version: FunctionVersion) -> str:
    """Stands for the runtime as this platform ships it; AWS's hashes mean nothing outside of AWS."""
    digest = hashlib.sha256(f"lambdad {version.settings.runtime}".encode()).hexdigest()
    return f"arn:aws:lambda:{version.namespace.region}::runtime:{digest}"


def _status(member: str, status: Status | None) -> dict[str, str]:
    if status is None:
        return {}
    shape = {member: status.value}
    if status.reason is not None:
        shape[f"{member}Reason"] = status.reason
    if status.code is not None:
        shape[f"{member}ReasonCode"] = status.code
    return shape


def _snap_start(version: FunctionVersion) -> dict[str, str]:
    apply_on = version.settings.snap_start
    is_prepared = version.starts_ahead or not version.why_no_snapshot
    optimised = version.starts_from_snapshot(version.deployment) and is_prepared
    return {"ApplyOn": apply_on, "OptimizationStatus": "On" if optimised else "Off"}


def _logging(settings: Settings) -> dict[str, str]:
    logging = settings.logging
    shape = {"LogFormat": logging.log_format, "LogGroup": logging.log_group}
    if logging.application_level is not None:
        shape["ApplicationLogLevel"] = logging.application_level
    if logging.system_level is not None:
        shape["SystemLogLevel"] = logging.system_level
    return shape


def _optional(settings: Settings) -> dict[str, Any]:
    """What is shown only when it was set."""
    shape: dict[str, Any] = {}
    if settings.environment is not None:
        shape["Environment"] = {"Variables": dict(settings.environment)}
    if settings.layers:
        shape["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.code.size} for layer in settings.layers]
    if settings.vpc is not None:
        shape["VpcConfig"] = {
            "SubnetIds": list(settings.vpc.subnet_ids),
            "SecurityGroupIds": list(settings.vpc.security_group_ids),
            "VpcId": settings.vpc.vpc_id,
            "Ipv6AllowedForDualStack": settings.vpc.ipv6_allowed,
        }
    if settings.dead_letter_arn:
        shape["DeadLetterConfig"] = {"TargetArn": settings.dead_letter_arn}
    if settings.kms_key_arn:
        shape["KMSKeyArn"] = settings.kms_key_arn
    if settings.file_systems:
        shape["FileSystemConfigs"] = [
            {"Arn": system.arn, "LocalMountPath": system.mount_path}
            | ({} if system.direct_s3_read is None else {"S3FilesConfig": {"DirectS3Read": system.direct_s3_read}})
            for system in settings.file_systems
        ]
    if settings.tenancy is not None:
        shape["TenancyConfig"] = {"TenantIsolationMode": settings.tenancy}
    return shape | _image_and_durable(settings)


def _image_and_durable(settings: Settings) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    override, durable = settings.image_override, settings.durable
    if override is not None:
        config = {
            "EntryPoint": None if override.entry_point is None else list(override.entry_point),
            "Command": None if override.command is None else list(override.command),
            "WorkingDirectory": override.working_directory,
        }
        shape["ImageConfigResponse"] = {
            "ImageConfig": {key: value for key, value in config.items() if value is not None}
        }
    if durable is not None:
        members = {
            "ExecutionTimeout": durable.execution_timeout,
            "RetentionPeriodInDays": durable.retention,
            "KMSKeyArn": durable.kms_key_arn,
        }
        shape["DurableConfig"] = {key: value for key, value in members.items() if value is not None}
    return shape
