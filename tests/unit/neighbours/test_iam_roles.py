"""IAM's roles."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.unit.neighbours.iam_actions import ACCOUNT, ALLOW, TRUST, Iam, with_iam

from lambdad.neighbours.iam_roles import ATTACHED_MAX

BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def test_an_account_that_has_made_no_role_has_any(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        role = iam.ask("GetRole", RoleName="a@b+c")["Role"]
        assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/a@b+c"
        (statement,) = json.loads(unquote(role["AssumeRolePolicyDocument"]))["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert iam.ask("GetRole", RoleName="a@b+c")["Role"] == role
        assert iam.ask("ListAttachedRolePolicies", RoleName="x")["AttachedPolicies"] == []
        assert iam.ask("ListRoles")["Roles"] == []
        assert iam.refused("DeleteRole", RoleName="x")[0] == "NoSuchEntity"
        iam.create_role("mine")
        assert iam.refused("GetRole", RoleName="x") == (
            "NoSuchEntity",
            404,
            "The role with name x cannot be found.",
        )
        iam.ask("DeleteRole", RoleName="mine")
        assert iam.refused("GetRole", RoleName="mine")[0] == "NoSuchEntity"

    with_iam(tmp_path, work)


def test_a_role_is_kept_with_all_that_was_said_of_it(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        made = iam.create_role(
            "worker",
            Path="/team/",
            Description="does",
            MaxSessionDuration="7200",
            PermissionsBoundary=BASIC,
            Tags__member__1__Key="team",
            Tags__member__1__Value="a",
        )["Role"]
        assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/team/worker"
        assert made["RoleId"].startswith("AROA")
        assert len(made["RoleId"]) == 21
        assert unquote(made["AssumeRolePolicyDocument"]) == TRUST
        assert (made["Description"], made["MaxSessionDuration"]) == ("does", 7200)
        assert made["PermissionsBoundary"]["PermissionsBoundaryArn"] == BASIC
        assert made["Tags"] == [{"Key": "team", "Value": "a"}]
        assert iam.ask("GetRole", RoleName="worker")["Role"] == made
        assert iam.refused("CreateRole", RoleName="WORKER", AssumeRolePolicyDocument=TRUST)[:2] == (
            "EntityAlreadyExists",
            409,
        )
        iam.ask("UpdateRole", RoleName="worker", Description="rests")
        iam.ask("TagRole", RoleName="worker", Tags__member__1__Key="b", Tags__member__1__Value="c")
        iam.ask("UntagRole", RoleName="worker", TagKeys__member__1="team")
        iam.ask("DeleteRolePermissionsBoundary", RoleName="worker")
        trust = TRUST.replace("lambda", "ec2")
        iam.ask("UpdateAssumeRolePolicy", RoleName="worker", PolicyDocument=trust)
        changed = iam.ask("GetRole", RoleName="worker")["Role"]
        assert (changed["Description"], changed["MaxSessionDuration"]) == ("rests", 7200)
        assert changed["PermissionsBoundary"] is None
        assert unquote(changed["AssumeRolePolicyDocument"]) == trust
        assert iam.ask("ListRoleTags", RoleName="worker")["Tags"] == [{"Key": "b", "Value": "c"}]
        iam.ask("PutRolePermissionsBoundary", RoleName="worker", PermissionsBoundary=BASIC)
        assert iam.ask("ListInstanceProfilesForRole", RoleName="worker")["InstanceProfiles"] == []

    with_iam(tmp_path, work)


def test_roles_are_listed_by_page_and_path(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        for name in ("a", "b", "c"):
            iam.create_role(name, Path="/x/" if name != "b" else "/y/")
        first = iam.ask("ListRoles", MaxItems="2")
        assert ([role["RoleName"] for role in first["Roles"]], first["IsTruncated"]) == (["a", "b"], True)
        second = iam.ask("ListRoles", MaxItems="2", Marker=first["Marker"])
        assert ([role["RoleName"] for role in second["Roles"]], second["IsTruncated"]) == (["c"], False)
        assert [role["RoleName"] for role in iam.ask("ListRoles", PathPrefix="/x/")["Roles"]] == ["a", "c"]

    with_iam(tmp_path, work)


def test_a_role_with_policies_is_not_deleted(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        iam.create_role("r")
        iam.ask("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=ALLOW)
        iam.ask("AttachRolePolicy", RoleName="r", PolicyArn=BASIC)
        iam.ask("AttachRolePolicy", RoleName="r", PolicyArn=BASIC)
        (attached,) = iam.ask("ListAttachedRolePolicies", RoleName="r")["AttachedPolicies"]
        assert attached == {"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}
        assert iam.refused("DeleteRole", RoleName="r")[0] == "DeleteConflict"
        iam.ask("DetachRolePolicy", RoleName="r", PolicyArn=BASIC)
        assert iam.refused("DetachRolePolicy", RoleName="r", PolicyArn=BASIC)[0] == "NoSuchEntity"
        assert "must delete policies first" in iam.refused("DeleteRole", RoleName="r")[2]
        assert iam.ask("ListRolePolicies", RoleName="r")["PolicyNames"] == ["p"]
        assert unquote(iam.ask("GetRolePolicy", RoleName="r", PolicyName="p")["PolicyDocument"]) == ALLOW
        iam.ask("DeleteRolePolicy", RoleName="r", PolicyName="p")
        for action in ("GetRolePolicy", "DeleteRolePolicy"):
            assert iam.refused(action, RoleName="r", PolicyName="p") == (
                "NoSuchEntity",
                404,
                "The role policy with name p cannot be found.",
            )
        iam.ask("DeleteRole", RoleName="r")

    with_iam(tmp_path, work)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"RoleName": ""}, "ValidationError"),
        ({"RoleName": "<x/>"}, "ValidationError"),
        ({"RoleName": "a" * 65}, "ValidationError"),
        ({"RoleName": "ä"}, "ValidationError"),
        ({"Path": "team"}, "ValidationError"),
        ({"Description": "x" * 1001}, "ValidationError"),
        ({"MaxSessionDuration": "60"}, "ValidationError"),
        ({"MaxSessionDuration": "99999"}, "ValidationError"),
        ({"MaxSessionDuration": "soon"}, "MalformedInput"),
        ({"PermissionsBoundary": "admin"}, "InvalidInput"),
        ({"AssumeRolePolicyDocument": ""}, "ValidationError"),
        ({"AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument"),
        ({"AssumeRolePolicyDocument": ALLOW}, "MalformedPolicyDocument"),
        ({"AssumeRolePolicyDocument": TRUST.replace("*", "") + "x" * 5000}, "LimitExceeded"),
        ({"Tags__member__1__Key": "aws:mine"}, "InvalidInput"),
        ({"Tags__member__1__Key": "k" * 129}, "InvalidInput"),
        ({f"Tags__member__{number}__Key": f"k{number}" for number in range(1, 52)}, "LimitExceeded"),
    ],
)
def test_what_iam_does_not_take(tmp_path: Path, form: dict[str, str], code: str) -> None:
    def work(iam: Iam) -> None:
        asked = {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, **form}
        assert iam.refused("CreateRole", **asked)[0] == code

    with_iam(tmp_path, work)


def test_policies_of_a_role_are_bounded_and_must_exist(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        iam.create_role("r")
        own = f"arn:aws:iam::{ACCOUNT}:policy/none"
        assert iam.refused("AttachRolePolicy", RoleName="r", PolicyArn=own)[2] == (
            f"Policy {own} does not exist or is not attachable."
        )
        assert iam.refused("AttachRolePolicy", RoleName="r", PolicyArn="mine")[0] == "InvalidInput"
        for number in range(ATTACHED_MAX):
            iam.ask("AttachRolePolicy", RoleName="r", PolicyArn=f"arn:aws:iam::aws:policy/P{number}")
        assert iam.refused("AttachRolePolicy", RoleName="r", PolicyArn=BASIC)[0] == "LimitExceeded"
        large = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "x" * 6000}})
        iam.ask("PutRolePolicy", RoleName="r", PolicyName="a", PolicyDocument=large)
        assert iam.refused("PutRolePolicy", RoleName="r", PolicyName="b", PolicyDocument=large)[0] == "LimitExceeded"
        assert iam.refused("PutRolePolicy", RoleName="r", PolicyName="b", PolicyDocument=TRUST)[0] == (
            "MalformedPolicyDocument"
        )
        assert iam.refused("ListRoles", Marker="nonsense!")[0] == "ValidationError"

    with_iam(tmp_path, work)
