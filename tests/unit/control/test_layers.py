"""PublishLayerVersion, GetLayerVersion, GetLayerVersionByArn, ListLayers, ListLayerVersions, DeleteLayerVersion."""

from __future__ import annotations

from typing import Any

from lambdad.model.arn import Namespace
from lambdad.testing.control_plane import Plane, make_zip, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:tools"
ZIP = make_zip({"bin/tool": "#!/bin/sh\n"})


async def publish(plane: Plane, name: str = "tools", **params: Any) -> dict[str, Any]:
    return await plane.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": ZIP}, **params)


@with_plane()
async def test_a_layer_version_is_published_and_read_back_by_number_and_arn(plane: Plane) -> None:
    published = await publish(
        plane,
        Description="tools",
        LicenseInfo="MIT",
        CompatibleRuntimes=["python3.12"],
        CompatibleArchitectures=["x86_64"],
    )
    location = published["Content"].pop("Location")
    assert location.startswith("http://127.0.0.1:9000/_lambdad/code/")
    assert len(published["Content"].pop("CodeSha256")) == 44
    assert published == {
        "Content": {"CodeSize": len(ZIP)},
        "LayerArn": ARN,
        "LayerVersionArn": f"{ARN}:1",
        "Version": 1,
        "Description": "tools",
        "CreatedDate": "2023-11-14T22:13:20.250+0000",
        "LicenseInfo": "MIT",
        "CompatibleRuntimes": ["python3.12"],
        "CompatibleArchitectures": ["x86_64"],
    }
    for answer in (
        await plane.call("GetLayerVersion", LayerName="tools", VersionNumber=1),
        await plane.call("GetLayerVersion", LayerName=ARN, VersionNumber=1),
        await plane.call("GetLayerVersionByArn", Arn=f"{ARN}:1"),
    ):
        assert answer["LayerVersionArn"] == f"{ARN}:1"


@with_plane()
async def test_numbers_go_up_and_are_never_used_twice(plane: Plane) -> None:
    assert [(await publish(plane))["Version"] for _ in range(2)] == [1, 2]
    await plane.call("DeleteLayerVersion", LayerName="tools", VersionNumber=2)
    await plane.call("DeleteLayerVersion", LayerName="tools", VersionNumber=2)
    assert (await publish(plane))["Version"] == 3


@with_plane()
async def test_a_missing_version_is_not_found_and_zero_is_no_number(plane: Plane) -> None:
    missing = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
    assert await plane.fails("GetLayerVersion", LayerName="tools", VersionNumber=1) == missing
    for operation in ("GetLayerVersion", "DeleteLayerVersion"):
        assert await plane.fails(operation, LayerName="tools", VersionNumber=0) == (
            "InvalidParameterValueException",
            400,
            "Layer Version Cannot be less than 1",
        )


@with_plane()
async def test_layers_of_others_are_refused(plane: Plane) -> None:
    theirs = ARN.replace("123456789012", "999999999999")
    for operation, params in (
        ("GetLayerVersionByArn", {"Arn": f"{theirs}:1"}),
        ("GetLayerVersion", {"LayerName": theirs, "VersionNumber": 1}),
    ):
        assert (await plane.fails(operation, **params))[:2] == ("AccessDeniedException", 403)
    assert (await plane.fails("GetLayerVersionByArn", Arn=ARN))[:2] == ("InvalidParameterValueException", 400)


@with_plane()
async def test_versions_are_listed_newest_first_filtered_and_in_pages(plane: Plane) -> None:
    for runtimes in (["python3.12"], ["nodejs22.x"], ["python3.12"], ["python3.12"]):
        await publish(plane, CompatibleRuntimes=runtimes)
    listed = await plane.call("ListLayerVersions", LayerName="tools", CompatibleRuntime="python3.12", MaxItems=2)
    rest = await plane.call(
        "ListLayerVersions", LayerName="tools", CompatibleRuntime="python3.12", Marker=listed["NextMarker"]
    )
    assert [layer["Version"] for layer in listed["LayerVersions"] + rest["LayerVersions"]] == [4, 3, 1]
    assert "Content" not in listed["LayerVersions"][0]
    assert (await plane.call("ListLayerVersions", LayerName="none"))["LayerVersions"] == []


@with_plane()
async def test_layers_are_listed_with_their_newest_matching_version(plane: Plane) -> None:
    await publish(plane, "a", CompatibleArchitectures=["arm64"])
    await publish(plane, "a", CompatibleArchitectures=["x86_64"])
    await publish(plane, "b", CompatibleArchitectures=["x86_64"])
    found = await plane.call("ListLayers", CompatibleArchitecture="arm64")
    assert [(layer["LayerName"], layer["LatestMatchingVersion"]["Version"]) for layer in found["Layers"]] == [("a", 1)]
    first = await plane.call("ListLayers", MaxItems=1)
    rest = await plane.call("ListLayers", Marker=first["NextMarker"])
    layers = first["Layers"] + rest["Layers"]
    assert [(layer["LayerName"], layer["LatestMatchingVersion"]["Version"]) for layer in layers] == [("a", 2), ("b", 1)]


@with_plane()
async def test_a_bad_archive_is_no_layer(plane: Plane) -> None:
    assert await plane.fails("PublishLayerVersion", LayerName="tools", Content={"ZipFile": b"not a zip"}) == (
        "InvalidParameterValueException",
        400,
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    )


@with_plane()
async def test_a_layer_is_shown_to_the_accounts_that_its_owner_shares_it_with(plane: Plane) -> None:
    await publish(plane)
    ours, theirs = plane.namespace, Namespace("210987654321", plane.namespace.region)
    asks: list[tuple[str, dict[str, Any]]] = [
        ("GetLayerVersionByArn", {"Arn": f"{ARN}:1"}),
        ("GetLayerVersion", {"LayerName": ARN, "VersionNumber": 1}),
    ]
    plane.namespace = theirs
    for operation, params in asks:
        assert (await plane.fails(operation, **params))[0] == "AccessDeniedException"
    plane.namespace = ours
    permission = {"LayerName": "tools", "VersionNumber": 1, "StatementId": "s", "Action": "lambda:GetLayerVersion"}
    await plane.call("AddLayerVersionPermission", **permission, Principal=theirs.account)
    plane.namespace = theirs
    for operation, params in asks:
        assert (await plane.call(operation, **params))["LayerVersionArn"] == f"{ARN}:1"
    assert (await plane.fails("ListLayerVersions", LayerName=ARN))[0] == "AccessDeniedException"
