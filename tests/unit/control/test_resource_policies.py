"""Whole resource policies."""

from __future__ import annotations

import json
from typing import Any

from lambdad.testing.control_plane import Plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(**members: Any) -> dict[str, Any]:
    return {
        "Sid": "s",
        "Effect": "Deny",
        "Principal": {"AWS": ["arn:aws:iam::111122223333:root"]},
        "Action": ["lambda:InvokeFunction", "lambda:Get*"],
        "Resource": ARN,
        **members,
    }


@with_plane()
async def test_a_policy_is_put_shown_added_to_and_deleted(plane: Plane) -> None:
    await plane.create("f")
    put = await plane.call("PutResourcePolicy", ResourceArn=ARN, Policy=document(statement()))
    assert json.loads(put["Policy"])["Statement"] == [statement()]
    assert await plane.call("GetResourcePolicy", ResourceArn=ARN) == put
    assert await plane.call("GetPolicy", FunctionName="f") == put
    await plane.call("AddPermission", FunctionName="f", StatementId="t", Action="lambda:InvokeFunction", Principal="*")
    shown = await plane.call("GetResourcePolicy", ResourceArn=ARN)
    assert [one["Sid"] for one in json.loads(shown["Policy"])["Statement"]] == ["s", "t"]
    assert shown["RevisionId"] != put["RevisionId"]
    await plane.call("RemovePermission", FunctionName="f", StatementId="s")
    assert await plane.call("DeleteResourcePolicy", ResourceArn=ARN) == {}
    missing = ("ResourceNotFoundException", 404, "No policy is associated with the given resource.")
    assert await plane.fails("GetResourcePolicy", ResourceArn=ARN) == missing
    assert await plane.fails("DeleteResourcePolicy", ResourceArn=ARN) == missing


@with_plane()
async def test_an_old_revision_is_refused(plane: Plane) -> None:
    await plane.create("f")
    old = "00000000-0000-0000-0000-000000000000"
    code, status, _ = await plane.fails(
        "PutResourcePolicy", ResourceArn=ARN, Policy=document(statement()), RevisionId=old
    )
    assert (code, status) == ("PreconditionFailedException", 412)
    put = await plane.call("PutResourcePolicy", ResourceArn=ARN, Policy=document(statement()))
    code, _, _ = await plane.fails("DeleteResourcePolicy", ResourceArn=ARN, RevisionId=old)
    assert code == "PreconditionFailedException"
    await plane.call("DeleteResourcePolicy", ResourceArn=ARN, RevisionId=put["RevisionId"])


BROKEN = (
    "{",
    "[]",
    "[" * 10_000,
    document(),
    json.dumps({"Version": "1", "Statement": [statement()]}),
    json.dumps({"Version": "2012-10-17", "Statement": "x"}),
    document(statement(), statement()),
    document(statement(Effect="Maybe")),
    document(statement(Principal=None)),
    document(statement(Action="s3:GetObject")),
    document(statement(Action=[1])),
    document(statement(Resource="arn:aws:lambda:eu-west-1:123456789012:function:other")),
    document(statement(NotAction="x")),
    document(statement(Sid=1)),
    document(statement(Condition="x")),
)


@with_plane()
async def test_what_is_no_policy_for_the_resource_is_refused(plane: Plane) -> None:
    await plane.create("f")
    for policy in BROKEN:
        code, status, _ = await plane.fails("PutResourcePolicy", ResourceArn=ARN, Policy=policy)
        assert (code, status) == ("InvalidParameterValueException", 400), policy[:100]


@with_plane()
async def test_a_policy_that_is_too_long_is_refused(plane: Plane) -> None:
    await plane.create("f")
    many = document(*(statement(Sid=f"s{number}") for number in range(200)))
    code, status, _ = await plane.fails("PutResourcePolicy", ResourceArn=ARN, Policy=many)
    assert (code, status) == ("PolicyLengthExceededException", 400)


@with_plane()
async def test_only_functions_that_exist_have_policies(plane: Plane) -> None:
    code, _, _ = await plane.fails("GetResourcePolicy", ResourceArn=ARN)
    assert code == "ResourceNotFoundException"
    code, _, _ = await plane.fails("PutResourcePolicy", ResourceArn=ARN, Policy=document(statement()))
    assert code == "ResourceNotFoundException"
    runtime = "arn:aws:lambda:eu-west-1:123456789012:runtime/x"
    code, _, _ = await plane.fails("GetResourcePolicy", ResourceArn=runtime)
    assert code == "InvalidParameterValueException"


@with_plane()
async def test_a_condition_that_could_never_be_decided_is_refused(plane: Plane) -> None:
    created = await plane.create("f")
    arn = created["FunctionArn"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": arn}
    for condition in ({"StringNotEquals": {"aws:nothing": "x"}}, {"NotAnOperator": {"aws:SourceIp": "x"}}):
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement | {"Condition": condition}]})
        code, status, message = await plane.fails("PutResourcePolicy", ResourceArn=arn, Policy=policy)
        assert (code, status) == ("InvalidParameterValueException", 400)
        assert "is not" in message
