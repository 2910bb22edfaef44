"""What each kind of event source allows and what it defaults to. Pure.

Source: "Event source mapping" parameters, AWS Lambda Developer Guide; recorded answers for the texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lambdad.control.interface import Params
from lambdad.model.errors import ApiError, invalid_parameter

_KIND_OF_SERVICE = {
    "sqs": "sqs",
    "kinesis": "kinesis",
    "dynamodb": "dynamodb",
    "kafka": "kafka",
    "mq": "mq",
    "rds": "docdb",
}

_STREAM_DEFAULTS: Mapping[str, Any] = {
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "DestinationConfig": {"OnFailure": {}},
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "BisectBatchOnFunctionError": False,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
}

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "sqs": {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    "kinesis": _STREAM_DEFAULTS,
    "dynamodb": _STREAM_DEFAULTS,
    "kafka": {"BatchSize": 100, "DestinationConfig": {"OnFailure": {}}},
    "mq": {"BatchSize": 100},
    "docdb": {"BatchSize": 100},
}

KEPT = (
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "StartingPosition",
    "StartingPositionTimestamp",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "BisectBatchOnFunctionError",
    "TumblingWindowInSeconds",
    "FunctionResponseTypes",
    "FilterCriteria",
    "KMSKeyArn",
    "MetricsConfig",
    "LoggingConfig",
    "ScalingConfig",
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ProvisionedPollerConfig",
)
"""Parameters that are kept and shown under their own names."""

_STREAMS = ("kinesis", "dynamodb")
_POSITIONED = (*_STREAMS, "kafka", "docdb")
_RECORDS = (*_STREAMS, "kafka")
_SUPPORTED: Mapping[str, tuple[str, ...]] = {
    "ParallelizationFactor": _STREAMS,
    "TumblingWindowInSeconds": _STREAMS,
    "BisectBatchOnFunctionError": _RECORDS,
    "MaximumRecordAgeInSeconds": _RECORDS,
    "MaximumRetryAttempts": _RECORDS,
    "DestinationConfig": _RECORDS,
    "FunctionResponseTypes": ("sqs", *_RECORDS),
    "ScalingConfig": ("sqs",),
    "ProvisionedPollerConfig": ("sqs", "kafka"),
    "LoggingConfig": ("kafka",),
    "Topics": ("kafka",),
    "Queues": ("mq",),
    "AmazonManagedKafkaEventSourceConfig": ("kafka",),
    "SelfManagedKafkaEventSourceConfig": ("kafka",),
    "DocumentDBEventSourceConfig": ("docdb",),
}
"""Parameters that only some kinds of sources have; the others all have."""
_NEEDED = {"kafka": "Topics", "mq": "Queues", "docdb": "DocumentDBEventSourceConfig"}
SOURCE_WORDS = {
    "sqs": "SQS",
    "kinesis": "Kinesis",
    "dynamodb": "DynamoDB",
    "kafka": "Kafka",
    "mq": "MQ",
    "docdb": "DocDB",
}


def source_kind(params: Params) -> str:
    """`sqs`, `kinesis`, `dynamodb`, `kafka`, `mq` or `docdb`."""
    arn = params.get("EventSourceArn", "")
    if not arn and "SelfManagedEventSource" in params:
        return "kafka"
    parts = arn.split(":")
    kind = _KIND_OF_SERVICE.get(parts[2]) if len(parts) > 5 else None
    if kind is None or (kind == "dynamodb" and "/stream/" not in arn):
        raise invalid_parameter("Unrecognized event source.")
    return kind


def new_parameters(kind: str, params: Params) -> dict[str, Any]:
    """What the client gives over the defaults of the kind, checked."""
    given = {member: params[member] for member in KEPT if member in params}
    parameters = {**_DEFAULTS[kind], **given}
    arn = params.get("EventSourceArn", "")
    _check_position(kind, arn, parameters)
    check_parameters(kind, arn, parameters)
    needed = _NEEDED.get(kind)
    if needed is not None and not parameters.get(needed):
        raise invalid_parameter(f"{needed} is required for {SOURCE_WORDS[kind]} event sources.")
    return parameters


def changed_parameters(kind: str, arn: str, before: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """`before` with what UpdateEventSourceMapping gives, checked."""
    parameters = dict(before) | {member: params[member] for member in KEPT if member in params}
    for member in ("FilterCriteria", "ScalingConfig"):
        if not parameters.get(member):
            parameters.pop(member, None)  # An empty one takes it away.
    check_parameters(kind, arn, parameters)
    return parameters


def check_parameters(kind: str, arn: str, parameters: Mapping[str, Any]) -> None:
    """arn: of the event source, empty for self-managed Kafka."""
    batch, window = parameters["BatchSize"], parameters.get("MaximumBatchingWindowInSeconds", 0)
    if kind == "sqs" and arn.endswith(".fifo"):
        if batch > 10:
            raise invalid_parameter("The batch size of a FIFO queue cannot be greater than 10.")
        if window:
            raise invalid_parameter("Batching window is not supported for FIFO queues.")
    elif kind == "sqs" and batch > 10 and not window:
        raise invalid_parameter(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    for member, kinds in _SUPPORTED.items():
        if member in parameters and kind not in kinds:
            words = ", ".join(SOURCE_WORDS[one] for one in kinds)
            raise invalid_parameter(
                f"{member} is not supported for {SOURCE_WORDS[kind]} event sources, only for those of {words}."
            )
    _check_pollers(parameters)
    age = parameters.get("MaximumRecordAgeInSeconds", -1)
    if age != -1 and age < 60:
        raise invalid_parameter("MaximumRecordAgeInSeconds must be -1, or between 60 and 604800.")
    _check_filters(parameters.get("FilterCriteria", {}))


def _check_pollers(parameters: Mapping[str, Any]) -> None:
    pollers = parameters.get("ProvisionedPollerConfig", {})
    if pollers and "ScalingConfig" in parameters:
        raise invalid_parameter("ProvisionedPollerConfig and ScalingConfig cannot be set at the same time.")
    least, most = pollers.get("MinimumPollers"), pollers.get("MaximumPollers")
    if least is not None and most is not None and least > most:
        raise invalid_parameter("MinimumPollers must not be greater than MaximumPollers.")


def _check_position(kind: str, arn: str, parameters: Mapping[str, Any]) -> None:
    position = parameters.get("StartingPosition")
    if kind in _POSITIONED and position is None:
        raise invalid_parameter(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if kind not in _POSITIONED and position is not None:
        raise invalid_parameter(f"StartingPosition is not valid for {SOURCE_WORDS[kind]} event sources.")
    if kind == "dynamodb" and position == "AT_TIMESTAMP":
        raise _unsupported_position(arn)
    if position == "AT_TIMESTAMP" and "StartingPositionTimestamp" not in parameters:
        raise invalid_parameter("StartingPositionTimestamp is required when StartingPosition is AT_TIMESTAMP.")


def _unsupported_position(arn: str) -> ApiError:
    return invalid_parameter(f"Unsupported starting position for arn type: {arn}")


def _check_filters(criteria: Mapping[str, Any]) -> None:
    for entry in criteria.get("Filters", ()):
        try:
            pattern = json.loads(entry.get("Pattern", ""))
        except ValueError:
            pattern = None
        if not isinstance(pattern, dict) or not pattern or not _is_pattern(pattern):
            raise invalid_parameter("Invalid filter pattern definition.")


def _is_pattern(pattern: Mapping[str, Any]) -> bool:
    """Leaves are lists of alternatives, as in EventBridge."""
    return all(
        (isinstance(value, list) and bool(value)) or (isinstance(value, dict) and bool(value) and _is_pattern(value))
        for value in pattern.values()
    )
