"""The EventSourceMapping operations."""

from __future__ import annotations

from typing import Any

from lambdad.testing.control_plane import NOW, Plane, with_plane

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:f"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:queue"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"


class QueuePollers:
    """Pollers that read queues and count what they hear."""

    def __init__(self) -> None:
        self.heard = 0

    def supports(self, source: str) -> bool:
        return source == "sqs"

    def changed(self) -> None:
        self.heard += 1


async def create(plane: Plane, **params: Any) -> dict[str, Any]:
    return await plane.call("CreateEventSourceMapping", **{"FunctionName": "f", "EventSourceArn": QUEUE} | params)


POLLERS = QueuePollers()


@with_plane(pollers=POLLERS)
async def test_a_mapping_is_made_shown_changed_and_removed(plane: Plane) -> None:
    await plane.create()
    made = await create(plane, Tags={"a": "b"})
    uuid = made.pop("UUID")
    arn = f"arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:{uuid}"
    assert made == {
        "BatchSize": 10,
        "EventSourceArn": QUEUE,
        "EventSourceMappingArn": arn,
        "FunctionArn": FUNCTION,
        "FunctionResponseTypes": [],
        "LastModified": NOW,
        "MaximumBatchingWindowInSeconds": 0,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }
    assert (await plane.call("ListTags", Resource=arn))["Tags"] == {"a": "b"}
    assert (await plane.call("GetEventSourceMapping", UUID=uuid))["State"] == "Enabled"
    changed = await plane.call("UpdateEventSourceMapping", UUID=uuid, Enabled=False, BatchSize=5)
    assert (changed["State"], changed["BatchSize"]) == ("Updating", 5)
    assert (await plane.call("GetEventSourceMapping", UUID=uuid))["State"] == "Disabled"
    assert (await plane.call("DeleteEventSourceMapping", UUID=uuid))["State"] == "Deleting"
    assert POLLERS.heard == 3
    gone = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
    for operation in ("GetEventSourceMapping", "UpdateEventSourceMapping", "DeleteEventSourceMapping"):
        assert await plane.fails(operation, UUID=uuid) == gone


@with_plane(pollers=QueuePollers())
async def test_a_source_that_nobody_reads_is_disabled_and_says_why(plane: Plane) -> None:
    await plane.create()
    made = await create(plane, EventSourceArn=STREAM, StartingPosition="LATEST")
    assert (made["State"], made["LastProcessingResult"]) == ("Creating", "No records processed")
    shown = await plane.call("GetEventSourceMapping", UUID=made["UUID"])
    assert shown["State"] == "Disabled"
    assert "does not read Kinesis" in shown["StateTransitionReason"]


@with_plane()
async def test_a_kafka_mapping_reads_as_a_group_of_its_own(plane: Plane) -> None:
    await plane.create()
    kafka = {"EventSourceArn": "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1", "Topics": ["orders"]}
    made = await create(plane, **kafka, StartingPosition="LATEST")
    assert made["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": made["UUID"]}
    own = {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["host:9092"]}}, "Topics": ["orders"]}
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "mine"}}
    made = await plane.call("CreateEventSourceMapping", FunctionName="f", **own, **group, StartingPosition="LATEST")
    assert made["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": "mine"}


@with_plane()
async def test_the_same_mapping_is_made_once(plane: Plane) -> None:
    await plane.create()
    made = await create(plane)
    assert await plane.fails("CreateEventSourceMapping", FunctionName="f", EventSourceArn=QUEUE) == (
        "ResourceConflictException",
        409,
        f'An event source mapping with SQS arn (" {QUEUE} ") and function (" f ") already exists. '
        f"Please update or delete the existing mapping with UUID {made['UUID']}",
    )


@with_plane()
async def test_the_function_must_exist(plane: Plane) -> None:
    await plane.create()
    missing = ("InvalidParameterValueException", 400, "Function does not exist")
    assert await plane.fails("CreateEventSourceMapping", FunctionName="g", EventSourceArn=QUEUE) == missing
    made = await create(plane)
    assert await plane.fails("UpdateEventSourceMapping", UUID=made["UUID"], FunctionName="g") == missing
    assert (await plane.fails("CreateEventSourceMapping", FunctionName="f:live", EventSourceArn=QUEUE))[1] == 404


@with_plane()
async def test_mappings_are_listed_by_function_by_source_and_in_pages(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.create("g")
    first = await create(plane)
    second = await create(plane, FunctionName="f:1")
    third = await create(plane, FunctionName="g")
    await create(plane, FunctionName="g", EventSourceArn=f"{QUEUE}2")

    async def listed(**params: Any) -> set[str]:
        answer = await plane.call("ListEventSourceMappings", **params)
        return {mapping["UUID"] for mapping in answer["EventSourceMappings"]}

    assert await listed(FunctionName="f") == {first["UUID"]}
    assert await listed(FunctionName=f"{FUNCTION}:1") == {second["UUID"]}
    assert await listed(EventSourceArn=QUEUE) == {first["UUID"], second["UUID"], third["UUID"]}
    page = await plane.call("ListEventSourceMappings", MaxItems=3)
    rest = await plane.call("ListEventSourceMappings", Marker=page["NextMarker"])
    assert len(page["EventSourceMappings"] + rest["EventSourceMappings"]) == 4


@with_plane()
async def test_a_mapping_outlives_its_function_and_can_be_given_another(plane: Plane) -> None:
    await plane.create()
    made = await create(plane)
    await plane.call("DeleteFunction", FunctionName="f")
    assert (await plane.call("GetEventSourceMapping", UUID=made["UUID"]))["FunctionArn"] == FUNCTION
    await plane.create("g")
    moved = await plane.call("UpdateEventSourceMapping", UUID=made["UUID"], FunctionName="g")
    assert moved["FunctionArn"].endswith(":function:g")
