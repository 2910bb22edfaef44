"""The FunctionUrlConfig operations."""

from __future__ import annotations

from lambdad.testing.control_plane import Plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
CORS = {
    "AllowCredentials": True,
    "AllowHeaders": ["x-a"],
    "AllowMethods": ["GET"],
    "AllowOrigins": ["*"],
    "ExposeHeaders": ["x-b"],
    "MaxAge": 60,
}


@with_plane()
async def test_a_url_is_made_shown_changed_and_removed(plane: Plane) -> None:
    await plane.create()
    made = await plane.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE", Cors=CORS)
    url = made.pop("FunctionUrl")
    identity, _, rest = url.removeprefix("http://").partition(".")
    assert (len(identity), rest) == (32, "lambda-url.eu-west-1.localhost:9000/")
    assert made == {
        "FunctionArn": ARN,
        "AuthType": "NONE",
        "Cors": CORS,
        "CreationTime": "2023-11-14T22:13:20.250000Z",
    }
    plane.now += 1
    changed = await plane.call(
        "UpdateFunctionUrlConfig", FunctionName="f", AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM", Cors={}
    )
    assert (changed["AuthType"], changed["InvokeMode"]) == ("AWS_IAM", "RESPONSE_STREAM")
    assert changed["LastModifiedTime"] == "2023-11-14T22:13:21.250000Z"
    assert "Cors" not in changed
    assert await plane.call("GetFunctionUrlConfig", FunctionName="f") == changed
    assert await plane.call("DeleteFunctionUrlConfig", FunctionName="f") == {}
    again = await plane.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE", InvokeMode="BUFFERED")
    assert again["FunctionUrl"] != url
    assert again["InvokeMode"] == "BUFFERED"


@with_plane()
async def test_a_function_and_each_alias_have_one_each(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await plane.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    aliased = await plane.call("CreateFunctionUrlConfig", FunctionName="f", Qualifier="live", AuthType="NONE")
    assert aliased["FunctionArn"] == f"{ARN}:live"
    assert await plane.fails("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE") == (
        "ResourceConflictException",
        409,
        f"Failed to create function url config for [functionArn = {ARN}]. "
        "Error message:  FunctionUrlConfig exists for this Lambda function",
    )
    first = await plane.call("ListFunctionUrlConfigs", FunctionName="f", MaxItems=1)
    rest = await plane.call("ListFunctionUrlConfigs", FunctionName="f", Marker=first["NextMarker"])
    urls = first["FunctionUrlConfigs"] + rest["FunctionUrlConfigs"]
    assert [url["FunctionArn"] for url in urls] == [ARN, f"{ARN}:live"]


@with_plane()
async def test_the_catalogue_knows_whose_url_it_is(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    made = await plane.call("CreateFunctionUrlConfig", FunctionName="f", Qualifier="live", AuthType="NONE")
    identity = made["FunctionUrl"].removeprefix("http://").partition(".")[0]
    found = plane.catalogue.url(identity)
    assert found is not None
    assert found[:3] == (plane.namespace, "f", "live")
    await plane.call("DeleteAlias", FunctionName="f", Name="live")
    assert plane.catalogue.url(identity) is None


@with_plane()
async def test_what_is_not_there_is_not_found(plane: Plane) -> None:
    no_function = ("ResourceNotFoundException", 404, "Function does not exist")
    no_url = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
    assert await plane.fails("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE") == no_function
    assert await plane.fails("UpdateFunctionUrlConfig", FunctionName="f") == no_function
    assert await plane.fails("GetFunctionUrlConfig", FunctionName="f") == no_url
    await plane.create()
    assert await plane.fails("UpdateFunctionUrlConfig", FunctionName="f") == no_url
    assert await plane.fails("DeleteFunctionUrlConfig", FunctionName="f") == no_url
    assert await plane.fails("CreateFunctionUrlConfig", FunctionName="f", Qualifier="x", AuthType="NONE") == no_function
