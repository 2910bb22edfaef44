"""IAM's managed policies."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from tests.unit.neighbours.iam_actions import ACCOUNT, ALLOW, Iam, with_iam

ARN = f"arn:aws:iam::{ACCOUNT}:policy/team/read"
DENY = ALLOW.replace("Allow", "Deny")


def create(iam: Iam) -> None:
    iam.ask("CreatePolicy", PolicyName="read", Path="/team/", PolicyDocument=ALLOW, Description="reads")


def test_a_policy_is_kept_shown_and_deleted(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        create(iam)
        policy = iam.ask("GetPolicy", PolicyArn=ARN)["Policy"]
        assert (policy["PolicyName"], policy["DefaultVersionId"], policy["Description"]) == ("read", "v1", "reads")
        assert policy["AttachmentCount"] == 0
        assert iam.refused("CreatePolicy", PolicyName="read", PolicyDocument=ALLOW)[0] == "EntityAlreadyExists"
        assert [one["Arn"] for one in iam.ask("ListPolicies", Scope="Local")["Policies"]] == [ARN]
        assert iam.ask("ListPolicies", OnlyAttached="true")["Policies"] == []
        iam.ask("TagPolicy", PolicyArn=ARN, Tags__member__1__Key="a", Tags__member__1__Value="b")
        assert iam.ask("ListPolicyTags", PolicyArn=ARN)["Tags"] == [{"Key": "a", "Value": "b"}]
        iam.ask("UntagPolicy", PolicyArn=ARN, TagKeys__member__1="a")
        assert iam.ask("GetPolicy", PolicyArn=ARN)["Policy"]["Tags"] is None
        iam.ask("DeletePolicy", PolicyArn=ARN)
        assert iam.refused("GetPolicy", PolicyArn=ARN) == ("NoSuchEntity", 404, f"Policy {ARN} was not found.")

    with_iam(tmp_path, work)


def test_a_policy_has_up_to_five_versions_of_which_one_holds(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        create(iam)
        made = iam.ask("CreatePolicyVersion", PolicyArn=ARN, PolicyDocument=DENY, SetAsDefault="true")["PolicyVersion"]
        assert (made["VersionId"], made["IsDefaultVersion"]) == ("v2", True)
        assert iam.refused("DeletePolicyVersion", PolicyArn=ARN, VersionId="v2")[0] == "DeleteConflict"
        assert iam.refused("DeletePolicy", PolicyArn=ARN)[0] == "DeleteConflict"
        shown = iam.ask("GetPolicyVersion", PolicyArn=ARN, VersionId="v2")["PolicyVersion"]
        assert unquote(shown["Document"]) == DENY
        assert [one["VersionId"] for one in iam.ask("ListPolicyVersions", PolicyArn=ARN)["Versions"]] == ["v2", "v1"]
        iam.ask("SetDefaultPolicyVersion", PolicyArn=ARN, VersionId="v1")
        iam.ask("DeletePolicyVersion", PolicyArn=ARN, VersionId="v2")
        assert iam.refused("GetPolicyVersion", PolicyArn=ARN, VersionId="v2")[0] == "NoSuchEntity"
        for number in range(3, 7):  # a number is never given twice
            made = iam.ask("CreatePolicyVersion", PolicyArn=ARN, PolicyDocument=ALLOW)["PolicyVersion"]
            assert made["VersionId"] == f"v{number}"
        assert iam.refused("CreatePolicyVersion", PolicyArn=ARN, PolicyDocument=ALLOW)[0] == "LimitExceeded"

    with_iam(tmp_path, work)


def test_an_attached_policy_is_not_deleted(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        create(iam)
        role = iam.create_role("r")["Role"]
        iam.ask("AttachRolePolicy", RoleName="r", PolicyArn=ARN)
        assert iam.ask("GetPolicy", PolicyArn=ARN)["Policy"]["AttachmentCount"] == 1
        assert [one["Arn"] for one in iam.ask("ListPolicies", OnlyAttached="true")["Policies"]] == [ARN]
        (entity,) = iam.ask("ListEntitiesForPolicy", PolicyArn=ARN)["PolicyRoles"]
        assert entity == {"RoleName": "r", "RoleId": role["RoleId"]}
        assert iam.refused("DeletePolicy", PolicyArn=ARN) == (
            "DeleteConflict",
            409,
            "Cannot delete a policy attached to entities.",
        )

    with_iam(tmp_path, work)


def test_an_attached_policy_is_found_behind_pages_of_others(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        create(iam)
        for number in range(3):
            iam.ask("CreatePolicy", PolicyName=f"a{number}", PolicyDocument=ALLOW)
        iam.create_role("r")
        iam.ask("AttachRolePolicy", RoleName="r", PolicyArn=ARN)
        page = iam.ask("ListPolicies", OnlyAttached="true", MaxItems="1")
        assert ([one["Arn"] for one in page["Policies"]], page["IsTruncated"]) == ([ARN], False)

    with_iam(tmp_path, work)


def test_aws_own_policies_are_known_by_name_and_a_few_by_their_text(tmp_path: Path) -> None:
    def work(iam: Iam) -> None:
        basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
        policy = iam.ask("GetPolicy", PolicyArn=basic)["Policy"]
        assert (policy["PolicyName"], policy["Path"]) == ("AWSLambdaBasicExecutionRole", "/service-role/")
        assert iam.refused("GetPolicyVersion", PolicyArn=basic, VersionId="v1")[0] == "NoSuchEntity"
        known = "arn:aws:iam::aws:policy/AdministratorAccess"
        shown = iam.ask("GetPolicyVersion", PolicyArn=known, VersionId="v1")["PolicyVersion"]
        assert '"Action": ["*"]' in unquote(shown["Document"])

    with_iam(tmp_path, work)
