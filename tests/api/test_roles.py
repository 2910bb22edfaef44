"""IAM's roles and policies on the node's port, through boto3, and nodes whose functions may have kept roles only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdad.testing.control_plane import make_zip
from lambdad.testing.local_node import REGION, LocalNode

ACCOUNT = "353535353535"
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}


def client(node: LocalNode, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=node.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, read_timeout=60),
    )


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    """A node whose functions have roles that were made there."""
    node = LocalNode.start(tmp_path_factory.mktemp("strict") / "data", arguments=["--roles", "kept"])
    yield node
    assert node.stop() == []


def code_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_boto3_makes_shows_changes_and_deletes_a_role(strict: LocalNode) -> None:
    iam = client(strict, "iam")
    made = iam.create_role(
        RoleName="worker",
        Path="/team/",
        AssumeRolePolicyDocument=json.dumps(TRUST),
        Description="a <role> & more",
        Tags=[{"Key": "team", "Value": "a"}],
    )["Role"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/team/worker"
    role = iam.get_role(RoleName="worker")["Role"]
    assert (role["AssumeRolePolicyDocument"], role["Description"], role["Tags"]) == (
        TRUST,
        "a <role> & more",
        [{"Key": "team", "Value": "a"}],
    )
    iam.put_role_policy(RoleName="worker", PolicyName="queue", PolicyDocument=json.dumps(ALLOW))
    assert iam.get_role_policy(RoleName="worker", PolicyName="queue")["PolicyDocument"] == ALLOW
    policy = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(ALLOW))["Policy"]
    assert iam.get_policy_version(PolicyArn=policy["Arn"], VersionId="v1")["PolicyVersion"]["Document"] == ALLOW
    for arn in (BASIC, policy["Arn"]):
        iam.attach_role_policy(RoleName="worker", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="worker")["AttachedPolicies"]
    assert [one["PolicyArn"] for one in attached] == [BASIC, policy["Arn"]]
    assert code_of(iam.delete_role, RoleName="worker") == (
        "DeleteConflict",
        "Cannot delete entity, must detach all policies first.",
    )
    assert [role["RoleName"] for role in iam.get_paginator("list_roles").paginate().search("Roles[]")] == ["worker"]
    for arn in (BASIC, policy["Arn"]):
        iam.detach_role_policy(RoleName="worker", PolicyArn=arn)
    iam.delete_policy(PolicyArn=policy["Arn"])
    iam.delete_role_policy(RoleName="worker", PolicyName="queue")
    iam.get_waiter("role_exists").wait(RoleName="worker", WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    iam.delete_role(RoleName="worker")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="worker")


def test_what_is_not_built_is_named(strict: LocalNode) -> None:
    assert code_of(client(strict, "iam").list_users) == ("InvalidAction", "lambdad has no ListUsers of IAM.")


def test_a_function_has_a_role_that_is_there_and_trusts_lambda(strict: LocalNode) -> None:
    iam, functions = client(strict, "iam"), client(strict, "lambda")
    params = {
        "FunctionName": "f",
        "Runtime": "provided.al2023",
        "Handler": "h",
        "Code": {"ZipFile": make_zip({"bootstrap": b"#!/bin/sh\n"})},
    }
    refused = ("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
    role = f"arn:aws:iam::{ACCOUNT}:role/own"
    assert code_of(functions.create_function, Role=role, **params) == refused
    iam.create_role(RoleName="own", AssumeRolePolicyDocument=json.dumps(TRUST).replace("lambda", "ec2"))
    assert code_of(functions.create_function, Role=role, **params) == refused
    iam.update_assume_role_policy(RoleName="own", PolicyDocument=json.dumps(TRUST))
    functions.create_function(Role=role, **params)
    other = role.replace("own", "other")
    assert code_of(functions.update_function_configuration, FunctionName="f", Role=other) == refused
    assert functions.update_function_configuration(FunctionName="f", Description="d")["Role"] == role
    strange = role.replace(ACCOUNT, "1" * 12)
    assert code_of(functions.update_function_configuration, FunctionName="f", Role=strange)[0] == (
        "AccessDeniedException"
    )
    functions.delete_function(FunctionName="f")
    iam.delete_role(RoleName="own")
