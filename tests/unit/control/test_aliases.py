"""CreateAlias, GetAlias, UpdateAlias, DeleteAlias, ListAliases."""

from __future__ import annotations

from typing import Any

from lambdad.testing.control_plane import Plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


async def publish_two(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.update(Timeout=9)
    await plane.call("PublishVersion", FunctionName="f")


def weights(**routing: float) -> dict[str, Any]:
    return {"AdditionalVersionWeights": {version.lstrip("v"): weight for version, weight in routing.items()}}


@with_plane()
async def test_an_alias_names_a_version(plane: Plane) -> None:
    await publish_two(plane)
    alias = await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    assert len(alias.pop("RevisionId")) == 36
    assert alias == {"AliasArn": f"{ARN}:live", "Name": "live", "FunctionVersion": "1", "Description": ""}
    assert (await plane.call("GetAlias", FunctionName="f", Name="live"))["FunctionVersion"] == "1"


@with_plane()
async def test_weights_are_shown_and_taken_away_by_an_empty_map(plane: Plane) -> None:
    await publish_two(plane)
    routing = weights(v2=0.25)
    alias = await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig=routing)
    assert alias["RoutingConfig"] == routing
    kept = await plane.call("UpdateAlias", FunctionName="f", Name="live", Description="d")
    assert (kept["RoutingConfig"], kept["Description"]) == (routing, "d")
    cleared = await plane.call("UpdateAlias", FunctionName="f", Name="live", RoutingConfig=weights())
    assert "RoutingConfig" not in cleared


@with_plane()
async def test_the_draw_chooses_the_side_of_a_weighted_alias(plane: Plane) -> None:
    await publish_two(plane)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig=weights(v2=0.25))
    chosen = [
        plane.catalogue.resolve(plane.namespace, "f", "live", draw).executed_version for draw in (0.0, 0.24, 0.25, 0.99)
    ]
    assert chosen == ["2", "2", "1", "1"]


@with_plane()
async def test_routing_follows_awss_rules(plane: Plane) -> None:
    await publish_two(plane)
    cases = (
        ("1", weights(v2=0.1, v1=0.2), "Number of items in AdditionalVersionWeights cannot be greater than 1"),
        ("$LATEST", weights(v1=0.1), "$LATEST is not supported for an alias pointing to more than 1 version"),
        (
            "1",
            weights(v1=0.1),
            "Invalid function version 1. Function version 1 is already included in routing configuration.",
        ),
    )
    for version, routing, text in cases:
        expected = ("InvalidParameterValueException", 400, text)
        params = {"FunctionName": "f", "Name": "live", "FunctionVersion": version, "RoutingConfig": routing}
        assert await plane.fails("CreateAlias", **params) == expected


@with_plane()
async def test_versions_that_do_not_exist_are_not_found(plane: Plane) -> None:
    await publish_two(plane)
    for version, routing in (("9", weights()), ("1", weights(v9=0.1))):
        params = {"FunctionName": "f", "Name": "live", "FunctionVersion": version, "RoutingConfig": routing}
        expected = ("ResourceNotFoundException", 404, f"Function not found: {ARN}:9")
        assert await plane.fails("CreateAlias", **params) == expected


@with_plane()
async def test_an_alias_is_made_once(plane: Plane) -> None:
    await publish_two(plane)
    params = {"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}
    await plane.call("CreateAlias", **params)
    expected = ("ResourceConflictException", 409, f"Alias already exists: {ARN}:live")
    assert await plane.fails("CreateAlias", **params) == expected


@with_plane()
async def test_missing_aliases_and_functions_have_texts_of_their_own(plane: Plane) -> None:
    missing = ("ResourceNotFoundException", 404, f"Function not found: {ARN}")
    for operation in ("GetAlias", "UpdateAlias", "DeleteAlias", "ListAliases", "CreateAlias"):
        assert await plane.fails(operation, FunctionName="f", Name="live", FunctionVersion="1") == missing
    await plane.create()
    assert (await plane.fails("GetAlias", FunctionName="f", Name="live"))[2] == f"Cannot find alias arn: {ARN}:live"
    assert (await plane.fails("UpdateAlias", FunctionName="f", Name="live"))[2] == f"Alias not found: {ARN}:live"
    assert await plane.call("DeleteAlias", FunctionName="f", Name="live") == {}


@with_plane()
async def test_a_revision_guards_an_alias(plane: Plane) -> None:
    await publish_two(plane)
    alias = await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    moved = await plane.call(
        "UpdateAlias", FunctionName="f", Name="live", FunctionVersion="2", RevisionId=alias["RevisionId"]
    )
    assert moved["FunctionVersion"] == "2"
    stale = alias["RevisionId"]
    assert (await plane.fails("UpdateAlias", FunctionName="f", Name="live", RevisionId=stale))[:2] == (
        "PreconditionFailedException",
        412,
    )


@with_plane()
async def test_a_deleted_alias_takes_its_settings_along(plane: Plane) -> None:
    await publish_two(plane)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await plane.call("CreateFunctionUrlConfig", FunctionName="f", Qualifier="live", AuthType="NONE")
    await plane.call("DeleteAlias", FunctionName="f", Name="live")
    assert (await plane.call("ListFunctionUrlConfigs", FunctionName="f"))["FunctionUrlConfigs"] == []


@with_plane()
async def test_aliases_are_listed_by_name_by_version_and_in_pages(plane: Plane) -> None:
    await publish_two(plane)
    for name, version in (("b", "2"), ("a", "1"), ("c", "1")):
        await plane.call("CreateAlias", FunctionName="f", Name=name, FunctionVersion=version)
    listed = await plane.call("ListAliases", FunctionName="f", FunctionVersion="1")
    assert [alias["Name"] for alias in listed["Aliases"]] == ["a", "c"]
    first = await plane.call("ListAliases", FunctionName="f", MaxItems=2)
    rest = await plane.call("ListAliases", FunctionName="f", MaxItems=2, Marker=first["NextMarker"])
    assert [alias["Name"] for alias in first["Aliases"] + rest["Aliases"]] == ["a", "b", "c"]
