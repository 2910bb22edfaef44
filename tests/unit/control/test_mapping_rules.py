"""What each kind of event source allows."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.control.mapping_rules import changed_parameters, new_parameters, source_kind
from lambdad.model.errors import ApiError

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:queue"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2024"


def refusal(**params: Any) -> str:
    with pytest.raises(ApiError) as caught:
        new_parameters(source_kind(params), params)
    return caught.value.message


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        (QUEUE, "sqs"),
        (STREAM, "kinesis"),
        (TABLE, "dynamodb"),
        ("arn:aws:kafka:eu-west-1:123456789012:cluster/c/1", "kafka"),
        ("arn:aws:mq:eu-west-1:123456789012:broker:b", "mq"),
        ("arn:aws:rds:eu-west-1:123456789012:cluster:c", "docdb"),
    ],
)
def test_the_kind_is_that_of_the_arn(arn: str, kind: str) -> None:
    assert source_kind({"EventSourceArn": arn}) == kind


def test_a_source_of_ones_own_is_kafka_and_others_are_unknown() -> None:
    endpoints = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["host:9092"]}}
    assert source_kind({"SelfManagedEventSource": endpoints}) == "kafka"
    for params in ({}, {"EventSourceArn": "arn:aws:s3:::b"}, {"EventSourceArn": TABLE.partition("/stream")[0]}):
        with pytest.raises(ApiError, match="Unrecognized event source"):
            source_kind(params)


def test_defaults_are_awss() -> None:
    assert new_parameters("sqs", {"EventSourceArn": QUEUE}) == {
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
    }
    stream = new_parameters("kinesis", {"EventSourceArn": STREAM, "StartingPosition": "LATEST"})
    assert (stream["BatchSize"], stream["MaximumRetryAttempts"], stream["ParallelizationFactor"]) == (100, -1, 1)


def test_large_batches_need_a_window() -> None:
    text = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    assert refusal(EventSourceArn=QUEUE, BatchSize=11) == text
    new_parameters("sqs", {"EventSourceArn": QUEUE, "BatchSize": 11, "MaximumBatchingWindowInSeconds": 1})
    assert "FIFO" in refusal(EventSourceArn=f"{QUEUE}.fifo", BatchSize=11, MaximumBatchingWindowInSeconds=1)
    assert "FIFO" in refusal(EventSourceArn=f"{QUEUE}.fifo", MaximumBatchingWindowInSeconds=1)


def test_streams_start_somewhere_and_queues_do_not() -> None:
    assert "Value null at 'startingPosition'" in refusal(EventSourceArn=STREAM)
    assert refusal(EventSourceArn=QUEUE, StartingPosition="LATEST").startswith("StartingPosition is not valid")
    assert refusal(EventSourceArn=TABLE, StartingPosition="AT_TIMESTAMP") == (
        f"Unsupported starting position for arn type: {TABLE}"
    )
    assert "StartingPositionTimestamp" in refusal(EventSourceArn=STREAM, StartingPosition="AT_TIMESTAMP")


@pytest.mark.parametrize("pattern", ["", "x", "[]", "{}", '{"a": 1}', '{"a": {}}', '{"a": []}', '{"a": {"b": "c"}}'])
def test_a_filter_is_a_pattern_of_lists(pattern: str) -> None:
    criteria = {"Filters": [{"Pattern": pattern}]}
    assert refusal(EventSourceArn=QUEUE, FilterCriteria=criteria) == "Invalid filter pattern definition."


def test_some_parameters_belong_to_some_sources() -> None:
    assert "only for those of Kinesis, DynamoDB." in refusal(EventSourceArn=QUEUE, ParallelizationFactor=2)
    scaling = {"MaximumConcurrency": 2}
    assert "only for those of SQS." in refusal(EventSourceArn=STREAM, StartingPosition="LATEST", ScalingConfig=scaling)
    assert "DestinationConfig is not supported for SQS" in refusal(EventSourceArn=QUEUE, DestinationConfig={})
    kafka = {"EventSourceArn": "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1", "StartingPosition": "LATEST"}
    assert refusal(**kafka) == "Topics is required for Kafka event sources."
    new_parameters("kafka", {**kafka, "Topics": ["orders"], "BisectBatchOnFunctionError": True})
    pollers = {"MinimumPollers": 3, "MaximumPollers": 2}
    assert "MinimumPollers" in refusal(EventSourceArn=QUEUE, ProvisionedPollerConfig=pollers)
    assert "at the same time" in refusal(EventSourceArn=QUEUE, ProvisionedPollerConfig=pollers, ScalingConfig=scaling)
    assert "between 60" in refusal(EventSourceArn=STREAM, StartingPosition="LATEST", MaximumRecordAgeInSeconds=59)


def test_an_update_keeps_what_it_does_not_name_and_clears_what_is_empty() -> None:
    criteria = {"Filters": [{"Pattern": '{"a": ["b"]}'}]}
    before = new_parameters("sqs", {"EventSourceArn": QUEUE, "FilterCriteria": criteria, "BatchSize": 5})
    after = changed_parameters("sqs", QUEUE, before, {"FilterCriteria": {}})
    assert (after["BatchSize"], "FilterCriteria" in after) == (5, False)
