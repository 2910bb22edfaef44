"""A node with keys, through boto3: signatures, accounts that share nothing, policies of keys and of functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdad.testing.control_plane import make_zip
from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import LocalNode

ONE, TWO = "111111111111", "222222222222"
ECHO = "def handler(event, context):\n    return {'event': event}\n"


class Closed:
    """A node and its keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.owner = self.key("--account", ONE)
        self.other = self.key("--account", TWO)
        self.node = LocalNode.start(directory)

    def keys(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "lambdad", "keys", *arguments, "--data-dir", str(self.directory)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def key(self, *arguments: str) -> tuple[str, str]:
        told = json.loads(self.keys("create", *arguments, "--json"))
        return told["AccessKeyId"], told["SecretAccessKey"]

    def client(self, key: tuple[str, str], service: str = "lambda", region: str = "us-east-1") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.node.endpoint,
            region_name=region,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            config=Config(retries={"max_attempts": 0}, read_timeout=60),
        )


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    started = Closed(tmp_path_factory.mktemp("closed") / "data")
    yield started
    assert started.node.stop() == []


def refusal(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404)
    return error["Code"], error["Message"]


def test_a_request_is_from_whom_its_signature_proves(closed: Closed) -> None:
    assert closed.client(closed.owner, "sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{ONE}:root"
    wrong = closed.client((closed.owner[0], "guessed"))
    assert refusal(wrong.list_functions)[0] == "InvalidSignatureException"
    assert refusal(closed.client(("AKIANOBODY", "x")).list_functions)[0] == "UnrecognizedClientException"
    for path in ("/2015-03-31/functions", "/_lambdad/queue", "/_lambdad/logs/f"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(closed.node.endpoint + path, timeout=30)
    assert urllib.request.urlopen(f"{closed.node.endpoint}/_lambdad/health", timeout=30).status == 200


def test_a_running_node_takes_up_and_drops_keys_at_once(closed: Closed) -> None:
    key = closed.key("--account", ONE)
    closed.client(key).list_functions()
    closed.keys("revoke", key[0])
    assert refusal(closed.client(key).list_functions)[0] == "UnrecognizedClientException"


def test_two_accounts_and_two_regions_share_nothing(closed: Closed) -> None:
    owner = closed.client(closed.owner)
    with deploy_python(owner, ECHO) as function:
        arn = owner.get_function_configuration(FunctionName=function.name)["FunctionArn"]
        function.invoke({})
        for stranger in (closed.client(closed.other), closed.client(closed.owner, region="eu-west-1")):
            assert stranger.list_functions()["Functions"] == []
            assert refusal(stranger.get_function, FunctionName=function.name)[0] == "ResourceNotFoundException"
            assert refusal(stranger.invoke, FunctionName=function.name)[0] == "ResourceNotFoundException"
            for call in (stranger.get_function, stranger.delete_function, stranger.invoke):
                code, _ = refusal(call, FunctionName=arn)
                assert code in ("AccessDeniedException", "ResourceNotFoundException")
            assert refusal(stranger.list_tags, Resource=arn)[0] in (
                "AccessDeniedException",
                "ResourceNotFoundException",
            )
        logs = closed.client(closed.other, "logs")
        assert logs.describe_log_groups()["logGroups"] == []


def test_layers_are_their_accounts_own(closed: Closed) -> None:
    owner, stranger = closed.client(closed.owner), closed.client(closed.other)
    layer = owner.publish_layer_version(LayerName="shared", Content={"ZipFile": make_zip()})
    assert stranger.list_layers()["Layers"] == []
    assert refusal(stranger.get_layer_version_by_arn, Arn=layer["LayerVersionArn"])[0] == "AccessDeniedException"
    owner.delete_layer_version(LayerName="shared", VersionNumber=1)


def test_a_function_is_called_from_another_account_by_its_permission(closed: Closed) -> None:
    owner, stranger = closed.client(closed.owner), closed.client(closed.other)
    with deploy_python(owner, ECHO) as function:
        arn = owner.get_function_configuration(FunctionName=function.name)["FunctionArn"]
        code, message = refusal(stranger.invoke, FunctionName=arn)
        assert code == "AccessDeniedException"
        assert "because no resource-based policy allows the lambda:InvokeFunction action" in message
        permission = {"FunctionName": function.name, "StatementId": "s", "Action": "lambda:InvokeFunction"}
        owner.add_permission(**permission, Principal=TWO)
        answer = stranger.invoke(FunctionName=arn, Payload=b'{"a": 1}')
        assert json.load(answer["Payload"]) == {"event": {"a": 1}}
        assert refusal(stranger.get_function, FunctionName=arn)[0] == "AccessDeniedException"
        owner.remove_permission(FunctionName=function.name, StatementId="s")
        assert refusal(stranger.invoke, FunctionName=arn)[0] == "AccessDeniedException"


def test_a_key_may_do_what_its_policy_says(closed: Closed, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    with deploy_python(closed.client(closed.owner), ECHO) as function:
        allow = {"Effect": "Allow", "Action": ["lambda:InvokeFunction", "lambda:Get*"], "Resource": "*"}
        deny = {"Effect": "Deny", "Action": "lambda:GetPolicy", "Resource": f"*:function:{function.name}"}
        policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]}))
        user = closed.client(closed.key("ada", "--account", ONE, "--policy", str(policy)))
        assert user.invoke(FunctionName=function.name)["StatusCode"] == 200
        user.get_function(FunctionName=function.name)
        code, message = refusal(user.delete_function, FunctionName=function.name)
        assert code == "AccessDeniedException"
        assert message.startswith(
            f"User: arn:aws:iam::{ONE}:user/ada is not authorized to perform: lambda:DeleteFunction"
        )
        assert (
            "with an explicit deny in an identity-based policy"
            in refusal(user.get_policy, FunctionName=function.name)[1]
        )
        reader = closed.client(closed.key("bob", "--account", ONE, "--policy", "AWSLambda_ReadOnlyAccess"))
        reader.list_functions()
        assert refusal(reader.invoke, FunctionName=function.name)[0] == "AccessDeniedException"
        assert refusal(reader.invoke_with_response_stream, FunctionName=function.name)[0] == "AccessDeniedException"


def test_a_functions_tags_decide_who_may_call_it(closed: Closed, tmp_path: Path) -> None:
    policy, owner = tmp_path / "policy.json", closed.client(closed.owner)
    of_team = {"StringEquals": {"aws:ResourceTag/team": "a"}}
    allow = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*", "Condition": of_team}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    user = closed.client(closed.key("tag", "--account", ONE, "--policy", str(policy)))
    with deploy_python(owner, ECHO, Tags={"team": "a"}) as function:
        arn = owner.get_function_configuration(FunctionName=function.name)["FunctionArn"]
        assert user.invoke(FunctionName=function.name)["StatusCode"] == 200
        user.get_function(FunctionName=arn)
        owner.tag_resource(Resource=arn, Tags={"team": "b"})
        for call in (user.invoke, user.get_function):
            assert refusal(call, FunctionName=function.name)[0] == "AccessDeniedException"
        owner.untag_resource(Resource=arn, TagKeys=["team"])
        assert refusal(user.invoke, FunctionName=function.name)[0] == "AccessDeniedException"


def test_a_resource_policy_may_shut_out_everybody_but_one(closed: Closed) -> None:
    owner = closed.client(closed.owner)
    ada, bob = (
        closed.client(closed.key(name, "--account", ONE, "--policy", "AWSLambda_FullAccess")) for name in ("ada", "bob")
    )
    with deploy_python(owner, ECHO) as function:
        arn = owner.get_function_configuration(FunctionName=function.name)["FunctionArn"]
        excepted = {"AWS": [f"arn:aws:iam::{ONE}:user/ada", f"arn:aws:iam::{ONE}:root"]}
        deny = {"Effect": "Deny", "NotPrincipal": excepted, "Action": "lambda:InvokeFunction", "Resource": arn}
        document = {"Version": "2012-10-17", "Statement": [deny]}
        owner.put_resource_policy(ResourceArn=arn, Policy=json.dumps(document))
        assert json.loads(owner.get_policy(FunctionName=function.name)["Policy"])["Statement"] == [deny]
        assert ada.invoke(FunctionName=function.name)["StatusCode"] == 200
        assert owner.invoke(FunctionName=function.name)["StatusCode"] == 200
        code, message = refusal(bob.invoke, FunctionName=function.name)
        assert (code, "with an explicit deny in a resource-based policy" in message) == ("AccessDeniedException", True)


def test_a_url_is_public_when_its_policy_says_so(closed: Closed) -> None:
    owner = closed.client(closed.owner)
    with deploy_python(owner, ECHO) as function:
        url = owner.create_function_url_config(FunctionName=function.name, AuthType="NONE")["FunctionUrl"]
        path = f"{closed.node.endpoint}/_url/{url.split('//')[1].split('.')[0]}/"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(path, timeout=30)
        owner.add_permission(
            FunctionName=function.name,
            StatementId="public",
            Action="lambda:InvokeFunctionUrl",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )
        with urllib.request.urlopen(path, timeout=30) as answer:
            assert json.load(answer)["event"]["version"] == "2.0"


def test_what_others_reach_is_not_started_without_a_key(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lambdad", "up", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Create one first: lambdad keys create --data-dir" in done.stderr


def test_another_account_works_on_a_function_as_far_as_its_policy_says(closed: Closed) -> None:
    owner, stranger = closed.client(closed.owner), closed.client(closed.other)
    with deploy_python(owner, ECHO) as function:
        arn = owner.get_function_configuration(FunctionName=function.name)["FunctionArn"]
        code, message = refusal(stranger.get_function, FunctionName=arn)
        assert code == "AccessDeniedException"
        assert message == (
            f"User: arn:aws:iam::{TWO}:root is not authorized to perform: lambda:GetFunction on resource: {arn} "
            "because no resource-based policy allows the lambda:GetFunction action"
        )
        owner.add_permission(FunctionName=function.name, StatementId="s", Action="lambda:GetFunction", Principal=TWO)
        assert stranger.get_function(FunctionName=arn)["Configuration"]["FunctionArn"] == arn
        assert refusal(stranger.get_function, FunctionName=function.name)[0] == "ResourceNotFoundException"
        assert refusal(stranger.update_function_configuration, FunctionName=arn)[0] == "AccessDeniedException"


def test_an_alias_is_called_by_the_policy_of_the_alias(closed: Closed) -> None:
    owner, stranger = closed.client(closed.owner), closed.client(closed.other)
    with deploy_python(owner, ECHO) as function:
        version = owner.publish_version(FunctionName=function.name)["Version"]
        alias = owner.create_alias(FunctionName=function.name, Name="live", FunctionVersion=version)["AliasArn"]
        permission = {"FunctionName": function.name, "StatementId": "s", "Action": "lambda:InvokeFunction"}
        owner.add_permission(**permission, Principal=TWO, Qualifier="live")
        assert stranger.invoke(FunctionName=alias)["StatusCode"] == 200
        for other in (alias.removesuffix(":live"), f"{alias.removesuffix(':live')}:{version}"):
            assert refusal(stranger.invoke, FunctionName=other)[0] == "AccessDeniedException"


def test_a_key_for_one_log_group_reads_no_other(closed: Closed, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    groups = f"arn:aws:logs:us-east-1:{ONE}:log-group:/aws/lambda/"
    allow = {"Effect": "Allow", "Action": "logs:*", "Resource": f"{groups}mine-*:*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": allow}))
    logs = closed.client(closed.key("reader", "--account", ONE, "--policy", str(policy)), "logs")
    logs.create_log_group(logGroupName="/aws/lambda/mine-1")
    assert logs.filter_log_events(logGroupName="/aws/lambda/mine-1")["events"] == []
    for name in ("/aws/lambda/theirs", f"{groups}theirs:*"):
        with pytest.raises(ClientError, match="AccessDeniedException"):
            logs.filter_log_events(logGroupIdentifier=name)
    logs.delete_log_group(logGroupName="/aws/lambda/mine-1")


def test_a_function_sees_no_keys(closed: Closed) -> None:
    reader = (
        "import os\n"
        "def handler(event, context):\n"
        "    found = [name for name in event['paths'] if os.path.exists(name)]\n"
        "    shown = [value for value in os.environ.values() if event['secret'] in value]\n"
        "    return [found, shown]\n"
    )
    file = closed.directory / "state" / "access-keys.json"
    assert file.stat().st_mode & 0o777 == 0o600
    paths = [str(file), str(file.parent), "/proc/1/root" + str(file)]
    with deploy_python(closed.client(closed.owner), reader) as function:
        assert function.invoke({"paths": paths, "secret": closed.owner[1]}).value == [[], []]


def test_the_aws_cli_signs_with_a_temporary_key(closed: Closed, tmp_path: Path) -> None:
    made = json.loads(
        closed.keys(
            "create",
            "cli",
            "--account",
            ONE,
            "--policy",
            "AWSLambda_ReadOnlyAccess",
            "--temporary",
            "--days",
            "1",
            "--json",
        )
    )
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": closed.node.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
        "AWS_SESSION_TOKEN": made["SessionToken"],
        "AWS_PAGER": "",
        "HOME": str(tmp_path),
    }

    def aws(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [str(Path(sys.executable).parent / "aws"), *arguments, "--output", "json"]
        return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path)

    told = aws("sts", "get-caller-identity")
    assert json.loads(told.stdout)["Arn"] == f"arn:aws:iam::{ONE}:user/cli", told.stderr
    assert aws("lambda", "list-functions").returncode == 0
    assert aws("logs", "describe-log-groups").returncode == 0
    refused = aws("lambda", "delete-function", "--function-name", "f")
    assert "AccessDeniedException" in refused.stderr
    environment["AWS_SESSION_TOKEN"] = "another"
    assert "UnrecognizedClientException" in aws("lambda", "list-functions").stderr
    assert "InvalidClientTokenId" in aws("sts", "get-caller-identity").stderr


def test_where_keys_are_required_nobody_gets_in_before_the_first(tmp_path: Path) -> None:
    with LocalNode.start(tmp_path / "data", arguments=("--auth", "required")) as node:
        assert refusal(node.client().list_functions)[0] == "UnrecognizedClientException"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{node.endpoint}/2015-03-31/functions", timeout=30)
