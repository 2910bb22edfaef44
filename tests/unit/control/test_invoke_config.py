"""The FunctionEventInvokeConfig operations."""

from __future__ import annotations

from lambdad.store.settings import INVOKE_CONFIG
from lambdad.testing.control_plane import NOW, Plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:queue"


@with_plane()
async def test_put_replaces_and_update_merges(plane: Plane) -> None:
    await plane.create()
    put = await plane.call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=0)
    assert put == {
        "LastModified": NOW,
        "FunctionArn": f"{ARN}:$LATEST",
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
    }
    destinations = {"OnFailure": {"Destination": QUEUE}}
    merged = await plane.call("UpdateFunctionEventInvokeConfig", FunctionName="f", DestinationConfig=destinations)
    assert merged["MaximumRetryAttempts"] == 0
    assert merged["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}
    replaced = await plane.call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumEventAgeInSeconds=60)
    assert replaced["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert "MaximumRetryAttempts" not in replaced
    assert await plane.call("GetFunctionEventInvokeConfig", FunctionName="f") == replaced
    config = plane.catalogue.setting(INVOKE_CONFIG, plane.namespace, "f", "$LATEST")
    assert config is not None
    assert (config.maximum_age, config.maximum_retries) == (60, None)


@with_plane()
async def test_every_qualifier_has_its_own_and_they_are_listed_in_pages(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    for qualifier in ("$LATEST", "1", "live"):
        await plane.call("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier=qualifier, MaximumRetryAttempts=1)
    first = await plane.call("ListFunctionEventInvokeConfigs", FunctionName="f", MaxItems=2)
    rest = await plane.call("ListFunctionEventInvokeConfigs", FunctionName="f", Marker=first["NextMarker"])
    configs = first["FunctionEventInvokeConfigs"] + rest["FunctionEventInvokeConfigs"]
    assert [config["FunctionArn"] for config in configs] == [f"{ARN}:{name}" for name in ("$LATEST", "1", "live")]


@with_plane()
async def test_what_is_not_there_is_not_found(plane: Plane) -> None:
    gone = ("ResourceNotFoundException", 404, "The function doesn't exist.")
    put = {"MaximumRetryAttempts": 1}
    for operation in ("Put", "Update", "Get", "Delete"):
        assert await plane.fails(f"{operation}FunctionEventInvokeConfig", FunctionName="f", **put) == gone
    assert await plane.fails("ListFunctionEventInvokeConfigs", FunctionName="f") == gone
    await plane.create()
    assert await plane.fails("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier="none", **put) == gone
    for operation in ("Update", "Get", "Delete"):
        assert await plane.fails(f"{operation}FunctionEventInvokeConfig", FunctionName="f", **put) == (
            "ResourceNotFoundException",
            404,
            f"The function {ARN}:$LATEST doesn't have an EventInvokeConfig",
        )


@with_plane()
async def test_it_is_deleted(plane: Plane) -> None:
    await plane.create()
    await plane.call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=1)
    assert await plane.call("DeleteFunctionEventInvokeConfig", FunctionName="f") == {}
    assert plane.catalogue.setting(INVOKE_CONFIG, plane.namespace, "f", "$LATEST") is None


@with_plane()
async def test_destinations_follow_awss_rules(plane: Plane) -> None:
    await plane.create()
    operation = "PutFunctionEventInvokeConfig"
    assert (await plane.fails(operation, FunctionName="f"))[2] == (
        "You must specify at least one of error handling or destination setting."
    )
    for arn, side, text in (
        (ARN, "OnFailure", "You can't specify the function as a destination for itself."),
        (f"{QUEUE}.fifo", "OnFailure", f"The destination ARN {QUEUE}.fifo is invalid."),
        ("arn:aws:ec2:eu-west-1:1:x", "OnFailure", "The destination ARN arn:aws:ec2:eu-west-1:1:x is invalid."),
        ("arn:aws:s3:::bucket", "OnSuccess", "The destination ARN arn:aws:s3:::bucket is invalid."),
        (
            "arn:aws:lambda:eu-west-1:123456789012:layer:x",
            "OnFailure",
            "The destination ARN arn:aws:lambda:eu-west-1:123456789012:layer:x is invalid.",
        ),
    ):
        params = {"FunctionName": "f", "DestinationConfig": {side: {"Destination": arn}}}
        assert await plane.fails(operation, **params) == ("InvalidParameterValueException", 400, text)
    bucket = {"OnFailure": {"Destination": "arn:aws:s3:::bucket"}, "OnSuccess": {"Destination": ARN + "2"}}
    await plane.call(operation, FunctionName="f", DestinationConfig=bucket)
