"""Layers of functions: what can be attached, and that functions keep what they have."""

from __future__ import annotations

from dataclasses import replace

from lambdad.model.arn import Namespace
from lambdad.testing.control_plane import Plane, make_zip, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:"
ZIP = make_zip({"bin/tool": "#!/bin/sh\n"})


async def publish(plane: Plane, *names: str) -> list[str]:
    arns = []
    for name in names:
        answer = await plane.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": ZIP})
        arns.append(answer["LayerVersionArn"])
    return arns


async def refusal(plane: Plane, layers: list[str]) -> str:
    code, status, text = await plane.fails("UpdateFunctionConfiguration", FunctionName="f", Layers=layers)
    assert (code, status) == ("InvalidParameterValueException", 400)
    return text


@with_plane()
async def test_layers_are_shown_with_their_sizes_and_reach_the_sandbox_in_order(plane: Plane) -> None:
    arns = await publish(plane, "a", "b")
    created = await plane.create(Layers=arns)
    assert created["Layers"] == [{"Arn": arn, "CodeSize": len(ZIP)} for arn in arns]
    spec = plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec
    assert [layer.size for layer in spec.layers] == [len(ZIP)] * 2
    assert "Layers" not in await plane.update(Layers=[])


@with_plane()
async def test_a_function_outlives_the_layer_versions_that_it_uses(plane: Plane) -> None:
    (arn,) = await publish(plane, "a")
    await plane.create(Layers=[arn])
    await plane.call("DeleteLayerVersion", LayerName="a", VersionNumber=1)
    await plane.update(Timeout=5)
    assert len(plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec.layers) == 1
    assert await refusal(plane, [arn]) == f"Layer version {arn} does not exist."


@with_plane()
async def test_awss_rules_for_layers(plane: Plane) -> None:
    await plane.create()
    arns = await publish(plane, "a", "a", "b", "c", "d", "e", "g")
    assert await refusal(plane, arns[1:]) == "Cannot reference more than 5 layers."
    assert await refusal(plane, arns[:2]) == (
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        f"{arns[0]} and {arns[1]} are versions of the same layer."
    )
    assert await refusal(plane, [arns[0].replace("eu-west-1", "us-east-1")]) == (
        "Layers are not in the same region as the function. Layers are expected to be in region eu-west-1."
    )
    assert await refusal(plane, [f"{ARN}none:7"]) == f"Layer version {ARN}none:7 does not exist."


@with_plane()
async def test_a_layer_of_another_account_needs_its_permission(plane: Plane) -> None:
    theirs = Namespace("999999999999", "eu-west-1")
    ours, plane.namespace = plane.namespace, theirs
    (arn,) = await publish(plane, "shared")
    plane.namespace = ours
    await plane.create()
    code, status, text = await plane.fails("UpdateFunctionConfiguration", FunctionName="f", Layers=[arn])
    assert (code, status) == ("AccessDeniedException", 403)
    assert text.endswith(
        f"on resource: {arn} because no resource-based policy allows the lambda:GetLayerVersion action"
    )
    plane.namespace = replace(theirs)
    await plane.call(
        "AddLayerVersionPermission",
        LayerName="shared",
        VersionNumber=1,
        StatementId="share",
        Action="lambda:GetLayerVersion",
        Principal=ours.account,
    )
    plane.namespace = ours
    assert (await plane.update(Layers=[arn]))["Layers"] == [{"Arn": arn, "CodeSize": len(ZIP)}]
