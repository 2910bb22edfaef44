"""AddPermission, GetPolicy, RemovePermission, and the same for layer versions."""

from __future__ import annotations

import json
from typing import Any

from lambdad.testing.control_plane import Plane, make_zip, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:tools:1"


def permission(statement: str = "s3", **params: Any) -> dict[str, Any]:
    ordinary = {
        "FunctionName": "f",
        "StatementId": statement,
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }
    return ordinary | params


@with_plane()
async def test_a_statement_says_who_may_do_what_under_which_conditions(plane: Plane) -> None:
    await plane.create()
    answer = await plane.call(
        "AddPermission", **permission(SourceArn="arn:aws:s3:::bucket", SourceAccount="111111111111")
    )
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "111111111111"},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
        },
    }
    assert json.loads(answer["Statement"]) == statement
    policy = await plane.call("GetPolicy", FunctionName="f")
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert policy["RevisionId"] == shown["RevisionId"]


@with_plane()
async def test_versions_and_aliases_have_policies_of_their_own(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        answer = await plane.call("AddPermission", **permission(Qualifier=qualifier))
        assert json.loads(answer["Statement"])["Resource"] == f"{ARN}:{qualifier}"
        await plane.call("GetPolicy", FunctionName="f", Qualifier=qualifier)
    assert (await plane.fails("GetPolicy", FunctionName="f"))[1] == 404
    alias = await plane.call("GetAlias", FunctionName="f", Name="live")
    policy = await plane.call("GetPolicy", FunctionName="f", Qualifier="live")
    assert alias["RevisionId"] == policy["RevisionId"]
    assert await plane.fails("AddPermission", **permission(Qualifier="none")) == (
        "ResourceNotFoundException",
        404,
        f"Cannot find alias arn: {ARN}:none",
    )
    assert await plane.fails("AddPermission", **permission(Qualifier="9")) == (
        "ResourceNotFoundException",
        404,
        f"Function not found: {ARN}:9",
    )


@with_plane()
async def test_latest_has_no_policy(plane: Plane) -> None:
    await plane.create()
    assert (await plane.fails("AddPermission", **permission(Qualifier="$LATEST")))[2] == (
        "We currently do not support adding policies for $LATEST."
    )


@with_plane()
async def test_a_statement_id_is_used_once(plane: Plane) -> None:
    await plane.create()
    await plane.call("AddPermission", **permission())
    assert await plane.fails("AddPermission", **permission()) == (
        "ResourceConflictException",
        409,
        "The statement id (s3) provided already exists. "
        "Please provide a new statement id, or remove the existing statement.",
    )


@with_plane()
async def test_statements_are_removed_one_by_one_and_the_policy_with_the_last(plane: Plane) -> None:
    await plane.create()
    await plane.call("AddPermission", **permission("a"))
    await plane.call("AddPermission", **permission("b"))
    await plane.call("RemovePermission", FunctionName="f", StatementId="a")
    policy = json.loads((await plane.call("GetPolicy", FunctionName="f"))["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["b"]
    assert (await plane.fails("RemovePermission", FunctionName="f", StatementId="a"))[2] == (
        "Statement a is not found in resource policy."
    )
    await plane.call("RemovePermission", FunctionName="f", StatementId="b")
    missing = {"GetPolicy": "The resource you requested does not exist."}
    missing["RemovePermission"] = "No policy is associated with the given resource."
    for operation, text in missing.items():
        more = {"StatementId": "b"} if operation == "RemovePermission" else {}
        assert await plane.fails(operation, FunctionName="f", **more) == ("ResourceNotFoundException", 404, text)


@with_plane()
async def test_a_revision_guards_a_policy(plane: Plane) -> None:
    await plane.create()
    await plane.call("AddPermission", **permission())
    current = (await plane.call("GetPolicy", FunctionName="f"))["RevisionId"]
    stale = "00000000-0000-0000-0000-000000000000"
    text = (
        "The Revision Id provided does not match the latest Revision Id. "
        "Call the GetPolicy API to retrieve the latest Revision Id"
    )
    expected = ("PreconditionFailedException", 412, text)
    assert await plane.fails("AddPermission", **permission("b", RevisionId=stale)) == expected
    assert await plane.fails("RemovePermission", FunctionName="f", StatementId="s3", RevisionId=stale) == expected
    await plane.call("RemovePermission", FunctionName="f", StatementId="s3", RevisionId=current)


@with_plane()
async def test_a_missing_function_has_no_policy_to_change(plane: Plane) -> None:
    missing = ("ResourceNotFoundException", 404, f"Function not found: {ARN}")
    assert await plane.fails("AddPermission", **permission()) == missing
    assert await plane.fails("GetPolicy", FunctionName="f") == missing
    assert await plane.fails("RemovePermission", FunctionName="f", StatementId="a") == missing


@with_plane()
async def test_a_layer_version_is_shared_by_its_policy(plane: Plane) -> None:
    await plane.call("PublishLayerVersion", LayerName="tools", Content={"ZipFile": make_zip()})
    layer = {"LayerName": "tools", "VersionNumber": 1}
    share = layer | {"Action": "lambda:GetLayerVersion", "Principal": "*"}
    assert (await plane.fails("GetLayerVersionPolicy", **layer))[
        2
    ] == "No policy is associated with the given resource."
    added = await plane.call("AddLayerVersionPermission", StatementId="all", OrganizationId="o-1234567890", **share)
    assert json.loads(added["Statement"]) == {
        "Sid": "all",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": LAYER,
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}},
    }
    policy = await plane.call("GetLayerVersionPolicy", **layer)
    assert policy["RevisionId"] == added["RevisionId"]
    assert (await plane.fails("AddLayerVersionPermission", StatementId="all", **share))[1] == 409
    stale = {"RevisionId": "00000000-0000-0000-0000-000000000000"}
    assert "GetLayerPolicy" in (await plane.fails("AddLayerVersionPermission", StatementId="b", **share, **stale))[2]
    assert (await plane.fails("RemoveLayerVersionPermission", StatementId="all", **layer, **stale))[1] == 412
    await plane.call("RemoveLayerVersionPermission", StatementId="all", **layer)
    assert (await plane.fails("RemoveLayerVersionPermission", StatementId="all", **layer))[1] == 404


@with_plane()
async def test_a_missing_layer_version_has_no_policy(plane: Plane) -> None:
    assert await plane.fails("GetLayerVersionPolicy", LayerName="tools", VersionNumber=1) == (
        "ResourceNotFoundException",
        404,
        f"Layer version {LAYER} does not exist.",
    )
