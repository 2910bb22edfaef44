"""Recursion, runtime management, scaling."""

from __future__ import annotations

from lambdad.testing.control_plane import Plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
RUNTIME_VERSION = "arn:aws:lambda:eu-west-1::runtime:" + "0" * 64


@with_plane()
async def test_recursion_is_stopped_unless_it_is_allowed(plane: Plane) -> None:
    await plane.create()
    assert await plane.call("GetFunctionRecursionConfig", FunctionName="f") == {"RecursiveLoop": "Terminate"}
    assert not plane.catalogue.resolve(plane.namespace, "f", None, 0.0).recursion_allowed
    await plane.call("PutFunctionRecursionConfig", FunctionName="f", RecursiveLoop="Allow")
    assert await plane.call("GetFunctionRecursionConfig", FunctionName="f") == {"RecursiveLoop": "Allow"}
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).recursion_allowed


@with_plane()
async def test_runtime_management_is_kept_per_version(plane: Plane) -> None:
    await plane.create(Publish=True)
    assert await plane.call("GetRuntimeManagementConfig", FunctionName="f") == {
        "UpdateRuntimeOn": "Auto",
        "FunctionArn": f"{ARN}:$LATEST",
    }
    manual = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": RUNTIME_VERSION}
    put = await plane.call("PutRuntimeManagementConfig", FunctionName="f", Qualifier="1", **manual)
    assert put == manual | {"FunctionArn": f"{ARN}:1"}
    assert await plane.call("GetRuntimeManagementConfig", FunctionName="f", Qualifier="1") == put
    for bad in ({"UpdateRuntimeOn": "Manual"}, manual | {"UpdateRuntimeOn": "Auto"}):
        assert (await plane.fails("PutRuntimeManagementConfig", FunctionName="f", **bad))[1] == 400


@with_plane()
async def test_scaling_is_kept_as_requested_and_never_as_applied(plane: Plane) -> None:
    await plane.create(Publish=True)
    name = {"FunctionName": "f", "Qualifier": "1"}
    await plane.settle()
    assert await plane.call("GetFunctionScalingConfig", **name) == {"FunctionArn": f"{ARN}:1"}
    config = {"MinExecutionEnvironments": 1, "MaxExecutionEnvironments": 2}
    assert (await plane.call("PutFunctionScalingConfig", FunctionScalingConfig=config, **name))["FunctionState"] in (
        "Pending",
        "Active",
    )
    assert await plane.call("GetFunctionScalingConfig", **name) == {
        "FunctionArn": f"{ARN}:1",
        "RequestedFunctionScalingConfig": config,
    }
    wrong = {"MinExecutionEnvironments": 3, "MaxExecutionEnvironments": 2}
    assert (await plane.fails("PutFunctionScalingConfig", FunctionScalingConfig=wrong, **name))[1] == 400


@with_plane()
async def test_a_missing_function_has_no_options(plane: Plane) -> None:
    for operation, params in (
        ("GetFunctionRecursionConfig", {}),
        ("PutFunctionRecursionConfig", {"RecursiveLoop": "Allow"}),
        ("GetRuntimeManagementConfig", {}),
        ("GetFunctionScalingConfig", {"Qualifier": "1"}),
    ):
        assert (await plane.fails(operation, FunctionName="f", **params))[:2] == ("ResourceNotFoundException", 404)
