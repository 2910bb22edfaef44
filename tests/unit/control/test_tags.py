"""TagResource, UntagResource, ListTags."""

from __future__ import annotations

from lambdad.testing.control_plane import Plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


@with_plane()
async def test_tags_are_added_replaced_and_removed(plane: Plane) -> None:
    await plane.create(Tags={"a": "1", "b": "2"})
    await plane.call("TagResource", Resource=ARN, Tags={"b": "3", "c": "4"})
    assert (await plane.call("ListTags", Resource=ARN))["Tags"] == {"a": "1", "b": "3", "c": "4"}
    await plane.call("UntagResource", Resource=ARN, TagKeys=["a", "c", "none"])
    assert (await plane.call("ListTags", Resource=ARN))["Tags"] == {"b": "3"}


@with_plane()
async def test_a_function_has_at_most_50(plane: Plane) -> None:
    await plane.create(Tags={f"k{number}": "" for number in range(50)})
    await plane.call("TagResource", Resource=ARN, Tags={"k1": "again"})
    assert await plane.fails("TagResource", Resource=ARN, Tags={"new": ""}) == (
        "InvalidParameterValueException",
        400,
        "Number of tags exceeds resource tag limit.",
    )
    assert (await plane.fails("TagResource", Resource=ARN, Tags={}))[1] == 400


@with_plane()
async def test_only_whole_functions_have_tags(plane: Plane) -> None:
    await plane.create(Publish=True)
    for operation, params in (
        ("TagResource", {"Tags": {"a": "b"}}),
        ("UntagResource", {"TagKeys": ["a"]}),
        ("ListTags", {}),
    ):
        assert (await plane.fails(operation, Resource=f"{ARN}:1", **params))[2] == (
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )


@with_plane()
async def test_what_is_not_there_has_no_tags(plane: Plane) -> None:
    expected = ("ResourceNotFoundException", 404, f"Function not found: {ARN}")
    assert await plane.fails("ListTags", Resource=ARN) == expected
    prefix = "arn:aws:lambda:eu-west-1:123456789012"
    for other in (
        f"{prefix}:event-source-mapping:00000000-0000-0000-0000-000000000000",
        f"{prefix}:code-signing-config:csc-00000000000000000",
        "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-00000000000000000",
    ):
        assert (await plane.fails("ListTags", Resource=other))[:2] == ("ResourceNotFoundException", 404)


@with_plane()
async def test_a_function_that_is_being_changed_gets_no_tags(plane: Plane) -> None:
    await plane.create()
    plane.preparer.hold()
    await plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    assert (await plane.fails("TagResource", Resource=ARN, Tags={"a": "b"}))[:2] == ("ResourceConflictException", 409)
