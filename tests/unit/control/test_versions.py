"""PublishVersion and ListVersionsByFunction."""

from __future__ import annotations

from lambdad.testing.control_plane import Plane, make_zip, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


@with_plane()
async def test_a_version_is_a_snapshot_with_an_arn_of_its_own(plane: Plane) -> None:
    created = await plane.create(Description="old", SnapStart={"ApplyOn": "PublishedVersions"})
    version = await plane.call("PublishVersion", FunctionName="f", Description="first")
    assert (version["Version"], version["FunctionArn"], version["Description"]) == ("1", f"{ARN}:1", "first")
    assert (version["State"], version["StateReasonCode"]) == ("Pending", "Creating")
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    assert version["RevisionId"] != created["RevisionId"]
    await plane.update(Timeout=60)
    kept = await plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
    assert (kept["Timeout"], kept["Description"]) == (3, "first")


@with_plane()
async def test_a_new_version_can_be_invoked_at_once(plane: Plane) -> None:
    await plane.create()
    plane.preparer.hold()
    await plane.call("PublishVersion", FunctionName="f")
    assert plane.catalogue.resolve(plane.namespace, "f", "1", 0.0).executed_version == "1"


@with_plane()
async def test_what_has_not_changed_is_not_published_again(plane: Plane) -> None:
    await plane.create()
    first = await plane.call("PublishVersion", FunctionName="f")
    assert (await plane.call("PublishVersion", FunctionName="f", Description="other"))["Version"] == "1"
    await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=make_zip())
    await plane.settle()
    again = await plane.call("PublishVersion", FunctionName="f")
    assert (again["Version"], again["CodeSha256"]) == ("1", first["CodeSha256"])
    await plane.update(Description="new")
    assert (await plane.call("PublishVersion", FunctionName="f"))["Version"] == "2"


@with_plane()
async def test_the_digest_guards_what_is_published(plane: Plane) -> None:
    current = (await plane.create())["CodeSha256"]
    assert await plane.fails("PublishVersion", FunctionName="f", CodeSha256="other") == (
        "InvalidParameterValueException",
        400,
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({current}). "
        "Please try again with the CodeSHA256 in $LATEST.",
    )
    assert (await plane.call("PublishVersion", FunctionName="f", CodeSha256=current))["Version"] == "1"


@with_plane()
async def test_versions_are_listed_in_order_with_qualified_arns_and_pages(plane: Plane) -> None:
    await plane.create()
    for number in range(1, 12):
        await plane.update(Timeout=number)
        await plane.call("PublishVersion", FunctionName="f")
    first = await plane.call("ListVersionsByFunction", FunctionName="f", MaxItems=5)
    rest = await plane.call("ListVersionsByFunction", FunctionName="f", Marker=first["NextMarker"])
    versions = first["Versions"] + rest["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", *map(str, range(1, 12))]
    assert (versions[0]["FunctionArn"], versions[11]["FunctionArn"]) == (f"{ARN}:$LATEST", f"{ARN}:11")
    assert "NextMarker" not in rest


@with_plane()
async def test_versions_of_a_missing_function_are_not_found(plane: Plane) -> None:
    expected = ("ResourceNotFoundException", 404, f"Function not found: {ARN}")
    assert await plane.fails("ListVersionsByFunction", FunctionName="f") == expected


@with_plane()
async def test_managed_instances_do_not_exist_here(plane: Plane) -> None:
    await plane.create()
    error = await plane.fails("PublishVersion", FunctionName="f", PublishTo="LATEST_PUBLISHED")
    assert error[:2] == ("InvalidParameterValueException", 400)
