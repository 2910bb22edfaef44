"""Every operation of the control plane that is built, through boto3 on a real node, with the errors that are usual.

What an operation means in detail is tested without a node, in tests/unit/control.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdad.testing.deploying import ROLE, Deployed, deploy_python, zip_of
from lambdad.testing.local_node import LocalNode

ACCOUNT = "arn:aws:lambda:us-east-1:000000000000"
SOURCE = "def handler(event, context):\n    return event\n"
OLD_REVISION = "00000000-0000-4000-8000-000000000000"
SQS = "arn:aws:sqs:us-east-1:000000000000"


def refused(call: Callable[..., Any], **params: Any) -> tuple[int, str, str]:
    """(status, code, text) of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer: Mapping[str, Any] = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def status(answer: Mapping[str, Any]) -> int:
    code: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return code


def new_function(name: str, **params: Any) -> dict[str, Any]:
    ordinary = {
        "FunctionName": name,
        "Runtime": "python3.11",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zip_of({"app.py": SOURCE})},
    }
    return ordinary | params


@pytest.fixture(scope="module")
def client(node: LocalNode) -> Any:
    """A client that sends what it is told to, so that the node is what refuses."""
    return node.client(parameter_validation=False)


@pytest.fixture(scope="module")
def function(client: Any) -> Iterator[Deployed]:
    """A function with version 1, which is what it is, and the alias `live` on it."""
    with deploy_python(client, SOURCE, Description="shared") as deployed:
        client.publish_version(FunctionName=deployed.name, Description="first")
        client.get_waiter("published_version_active").wait(FunctionName=deployed.name, Qualifier="1")
        client.create_alias(FunctionName=deployed.name, Name="live", FunctionVersion="1")
        yield deployed


def test_a_function_is_created_shown_listed_changed_and_deleted(client: Any) -> None:
    name = f"t-{uuid.uuid4().hex[:12]}"
    created = client.create_function(**new_function(name, Tags={"team": "a"}, Environment={"Variables": {"KEY": "1"}}))
    assert (status(created), created["State"], created["StateReasonCode"]) == (201, "Pending", "Creating")
    Deployed(client, name).wait()
    shown = client.get_function(FunctionName=name)
    assert shown["Tags"] == {"team": "a"}
    assert shown["Code"]["RepositoryType"] == "S3"
    config = shown["Configuration"]
    assert (config["State"], config["LastUpdateStatus"]) == ("Active", "Successful")
    assert config["RevisionId"] != created["RevisionId"]
    assert (
        client.get_function_configuration(FunctionName=f"{ACCOUNT}:function:{name}")["CodeSha256"]
        == (created["CodeSha256"])
    )
    assert refused(client.create_function, **new_function(name)) == (
        409,
        "ResourceConflictException",
        f"Function already exist: {name}",
    )
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1})
    assert name in [one["FunctionName"] for page in pages for one in page["Functions"]]
    changed = client.update_function_configuration(FunctionName=name, Environment={"Variables": {}}, Timeout=9)
    assert (changed["LastUpdateStatus"], changed["LastUpdateStatusReasonCode"]) == ("InProgress", "Creating")
    Deployed(client, name).wait()
    changed = client.update_function_code(FunctionName=name, ZipFile=zip_of({"app.py": SOURCE + "#\n"}))
    assert changed["CodeSha256"] != created["CodeSha256"]
    Deployed(client, name).wait()
    for call, params in (
        (client.update_function_configuration, {"Timeout": 3}),
        (client.update_function_code, {"ZipFile": zip_of({"app.py": SOURCE})}),
        (client.publish_version, {}),
    ):
        assert refused(call, FunctionName=name, RevisionId=OLD_REVISION, **params) == (
            412,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
        )
    assert status(client.delete_function(FunctionName=name)) == 204
    assert refused(client.get_function, FunctionName=name) == (
        404,
        "ResourceNotFoundException",
        f"Function not found: {ACCOUNT}:function:{name}",
    )


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        (
            {"MemorySize": 64},
            "ValidationException",
            "Value '64' at 'memorySize' failed to satisfy constraint: "
            "Member must have value greater than or equal to 128",
        ),
        (
            {"Timeout": 901},
            "ValidationException",
            "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900",
        ),
        ({"Role": "r"}, "ValidationException", "at 'role' failed to satisfy constraint: Member must satisfy regular"),
        ({"Handler": "a b"}, "ValidationException", "at 'handler' failed to satisfy constraint"),
        ({"Runtime": "cobol"}, "InvalidParameterValueException", "Value cobol at 'runtime' failed to satisfy"),
        ({"Runtime": "nodejs14.x"}, "InvalidParameterValueException", "nodejs14.x is no longer supported"),
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", "Could not unzip uploaded file."),
        (
            {"Environment": {"Variables": {"AWS_REGION": "x"}}},
            "InvalidParameterValueException",
            "Reserved keys used in this request: AWS_REGION",
        ),
        (
            {"Layers": [f"{ACCOUNT}:layer:none:1"]},
            "InvalidParameterValueException",
            f"Layer version {ACCOUNT}:layer:none:1 does not exist.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_a_function_is_refused(client: Any, params: dict[str, Any], code: str, text: str) -> None:
    code_status, name, message = refused(client.create_function, **new_function("refused", **params))
    assert (code_status, name) == (400, code)
    assert text in message


def test_versions_are_published_once_for_each_state(client: Any, function: Deployed) -> None:
    again = client.publish_version(FunctionName=function.name, Description="other")
    assert (again["Version"], again["Description"], status(again)) == ("1", "first", 201)
    shown = client.get_function_configuration(FunctionName=function.name, Qualifier="1")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")  # Terraform waits for both
    listed = client.list_versions_by_function(FunctionName=function.name)["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1"]
    everything = client.get_paginator("list_functions").paginate(FunctionVersion="ALL")
    arns = {one["FunctionArn"] for page in everything for one in page["Functions"]}
    arn = f"{ACCOUNT}:function:{function.name}"
    assert {f"{arn}:$LATEST", f"{arn}:1"} <= arns
    code, name, text = refused(client.publish_version, FunctionName=function.name, CodeSha256="x")
    assert (code, name) == (400, "InvalidParameterValueException")
    assert text.startswith("CodeSHA256 (x) is different from current CodeSHA256 in $LATEST (")
    assert refused(client.delete_function, FunctionName=function.name, Qualifier="$LATEST")[2] == (
        "$LATEST version cannot be deleted without deleting the function."
    )
    assert refused(client.delete_function, FunctionName=function.name, Qualifier="live")[2] == (
        "Deletion of aliases is not currently supported."
    )
    assert refused(client.delete_function, FunctionName=function.name, Qualifier="1")[:2] == (
        409,
        "ResourceConflictException",
    )


def test_aliases(client: Any, function: Deployed) -> None:
    name, arn = function.name, f"{ACCOUNT}:function:{function.name}"
    created = client.create_alias(FunctionName=name, Name="a", FunctionVersion="$LATEST", Description="d")
    assert (status(created), created["AliasArn"]) == (201, f"{arn}:a")
    duplicate = refused(client.create_alias, FunctionName=name, Name="a", FunctionVersion="1")
    assert duplicate == (409, "ResourceConflictException", f"Alias already exists: {arn}:a")
    one = client.update_alias(FunctionName=name, Name="a", FunctionVersion="1")
    assert one["RevisionId"] != created["RevisionId"]
    assert client.get_alias(FunctionName=name, Name="a")["FunctionVersion"] == "1"
    for weights, text in (
        ({"1": 0.5}, "Function version 1 is already included in routing configuration."),
        ({"1": 0.1, "2": 0.2}, "Number of items in AdditionalVersionWeights cannot be greater than 1"),
        ({"7": 0.1}, f"Function not found: {arn}:7"),
    ):
        routing = {"AdditionalVersionWeights": weights}
        assert text in refused(client.update_alias, FunctionName=name, Name="a", RoutingConfig=routing)[2]
    listed = client.list_aliases(FunctionName=name, FunctionVersion="1")["Aliases"]
    assert [alias["Name"] for alias in listed] == ["a", "live"]
    assert function.invoke({"x": 1}, Qualifier="a").version == "1"
    assert status(client.delete_alias(FunctionName=name, Name="a")) == 204
    assert refused(client.get_alias, FunctionName=name, Name="a")[2] == f"Cannot find alias arn: {arn}:a"
    assert refused(client.update_alias, FunctionName=name, Name="a")[2] == f"Alias not found: {arn}:a"


def test_concurrency(client: Any, function: Deployed) -> None:
    name = function.name
    put = client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    assert put["ReservedConcurrentExecutions"] == 3
    assert client.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 3
    assert client.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 3}
    limits = client.get_account_settings()["AccountLimit"]
    assert limits["ConcurrentExecutions"] - limits["UnreservedConcurrentExecutions"] >= 3
    assert "[100]" in refused(client.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=950)[2]
    assert status(client.delete_function_concurrency(FunctionName=name)) == 204
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName=name)


def test_provisioned_concurrency(client: Any, function: Deployed) -> None:
    params = {"FunctionName": function.name, "Qualifier": "1"}
    missing = refused(client.get_provisioned_concurrency_config, **params)
    assert missing == (
        404,
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    )
    put = client.put_provisioned_concurrency_config(**params, ProvisionedConcurrentExecutions=1)
    assert (status(put), put["Status"]) == (202, "IN_PROGRESS")
    shown = client.get_provisioned_concurrency_config(**params)
    assert shown["RequestedProvisionedConcurrentExecutions"] == 1
    listed = client.list_provisioned_concurrency_configs(FunctionName=function.name)["ProvisionedConcurrencyConfigs"]
    assert [one["FunctionArn"] for one in listed] == [f"{ACCOUNT}:function:{function.name}:1"]
    assert status(client.delete_provisioned_concurrency_config(**params)) == 204
    latest = {"FunctionName": function.name, "Qualifier": "$LATEST", "ProvisionedConcurrentExecutions": 1}
    assert refused(client.put_provisioned_concurrency_config, **latest)[2] == (
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )


def test_permissions_and_resource_policies(client: Any, function: Deployed) -> None:
    name, arn = function.name, f"{ACCOUNT}:function:{function.name}"
    params = {"FunctionName": name, "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    none = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
    assert refused(client.get_policy, FunctionName=name) == none
    added = client.add_permission(**params, StatementId="s", SourceArn="arn:aws:s3:::bucket")
    assert (status(added), json.loads(added["Statement"])["Resource"]) == (201, arn)
    duplicate = refused(client.add_permission, **params, StatementId="s")
    assert duplicate[:2] == (409, "ResourceConflictException")
    assert "principal was invalid" in refused(client.add_permission, **{**params, "Principal": "x"}, StatementId="t")[2]
    policy = client.get_policy(FunctionName=name)
    assert client.get_resource_policy(ResourceArn=arn)["Policy"] == policy["Policy"]
    document = json.loads(policy["Policy"])
    document["Statement"][0]["Sid"] = "renamed"
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps(document))
    lost = refused(client.remove_permission, FunctionName=name, StatementId="s")
    assert lost == (404, "ResourceNotFoundException", "Statement s is not found in resource policy.")
    assert status(client.remove_permission(FunctionName=name, StatementId="renamed")) == 204
    assert refused(client.delete_resource_policy, ResourceArn=arn)[:2] == none[:2]
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps(document))
    assert status(client.delete_resource_policy(ResourceArn=arn)) == 204


def test_tags(client: Any, function: Deployed) -> None:
    arn = f"{ACCOUNT}:function:{function.name}"
    assert status(client.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})) == 204
    assert status(client.untag_resource(Resource=arn, TagKeys=["a"])) == 204
    assert client.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    assert refused(client.tag_resource, Resource=f"{arn}:1", Tags={"a": "1"})[2] == (
        "Tags on function aliases and versions are not supported. Please specify a function ARN."
    )
    many = {f"k{number}": "v" for number in range(51)}
    assert refused(client.tag_resource, Resource=arn, Tags=many)[2] == "Number of tags exceeds resource tag limit."


def test_function_urls(client: Any, function: Deployed) -> None:
    name = function.name
    missing = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
    assert refused(client.get_function_url_config, FunctionName=name) == missing
    created = client.create_function_url_config(FunctionName=name, AuthType="NONE", Cors={"AllowOrigins": ["*"]})
    assert status(created) == 201
    assert refused(client.create_function_url_config, FunctionName=name, AuthType="NONE")[:2] == (
        409,
        "ResourceConflictException",
    )
    client.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="AWS_IAM")
    updated = client.update_function_url_config(FunctionName=name, InvokeMode="RESPONSE_STREAM")
    assert (updated["InvokeMode"], updated["FunctionUrl"]) == ("RESPONSE_STREAM", created["FunctionUrl"])
    assert client.get_function_url_config(FunctionName=name)["Cors"] == {"AllowOrigins": ["*"]}
    listed = client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    assert [one["AuthType"] for one in listed] == ["NONE", "AWS_IAM"]
    assert status(client.delete_function_url_config(FunctionName=name, Qualifier="live")) == 204
    client.delete_function_url_config(FunctionName=name)
    assert refused(client.delete_function_url_config, FunctionName=name) == missing


def test_event_invoke_configs(client: Any, function: Deployed) -> None:
    name, arn = function.name, f"{ACCOUNT}:function:{function.name}"
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1, MaximumEventAgeInSeconds=100)
    failure = {"OnFailure": {"Destination": f"{SQS}:q"}}
    updated = client.update_function_event_invoke_config(FunctionName=name, DestinationConfig=failure)
    assert (updated["MaximumRetryAttempts"], updated["FunctionArn"]) == (1, f"{arn}:$LATEST")
    assert (
        client.get_function_event_invoke_config(FunctionName=name)["DestinationConfig"]["OnFailure"]
        == (failure["OnFailure"])
    )
    listed = client.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    assert len(listed) == 1
    assert refused(client.put_function_event_invoke_config, FunctionName=name)[2] == (
        "You must specify at least one of error handling or destination setting."
    )
    itself = {"OnSuccess": {"Destination": arn}}
    assert refused(client.put_function_event_invoke_config, FunctionName=name, DestinationConfig=itself)[2] == (
        "You can't specify the function as a destination for itself."
    )
    assert status(client.delete_function_event_invoke_config(FunctionName=name)) == 204
    missing = f"The function {arn}:$LATEST doesn't have an EventInvokeConfig"
    assert refused(client.get_function_event_invoke_config, FunctionName=name)[2] == missing
    assert refused(client.delete_function_event_invoke_config, FunctionName=name)[2] == missing


def test_event_source_mappings(client: Any, function: Deployed) -> None:
    queue = f"{SQS}:{function.name}"
    created = client.create_event_source_mapping(FunctionName=function.name, EventSourceArn=queue, BatchSize=5)
    identity = created["UUID"]
    assert (status(created), created["State"], created["BatchSize"]) == (202, "Creating", 5)
    code, name, text = refused(client.create_event_source_mapping, FunctionName=function.name, EventSourceArn=queue)
    assert (code, name) == (409, "ResourceConflictException")
    assert text.endswith(f"Please update or delete the existing mapping with UUID {identity}")
    assert client.get_event_source_mapping(UUID=identity)["State"] in ("Enabled", "Disabled")
    listed = client.list_event_source_mappings(FunctionName=function.name)["EventSourceMappings"]
    assert [one["UUID"] for one in listed] == [identity]
    updated = client.update_event_source_mapping(UUID=identity, BatchSize=6, Enabled=False)
    assert (status(updated), updated["State"]) == (202, "Updating")
    assert client.get_event_source_mapping(UUID=identity)["State"] == "Disabled"
    client.tag_resource(Resource=created["EventSourceMappingArn"], Tags={"a": "b"})
    assert client.list_tags(Resource=created["EventSourceMappingArn"])["Tags"] == {"a": "b"}
    deleted = client.delete_event_source_mapping(UUID=identity)
    assert (status(deleted), deleted["State"]) == (202, "Deleting")
    assert refused(client.get_event_source_mapping, UUID=identity)[:2] == (404, "ResourceNotFoundException")
    bad = {"Filters": [{"Pattern": "{"}]}
    params = {"FunctionName": function.name, "EventSourceArn": queue}
    assert refused(client.create_event_source_mapping, **params, FilterCriteria=bad)[2] == (
        "Invalid filter pattern definition."
    )
    stream = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
    assert (
        "startingPosition"
        in refused(client.create_event_source_mapping, FunctionName=function.name, EventSourceArn=stream)[2]
    )


def test_layers_their_versions_and_permissions(client: Any) -> None:
    name = f"layer-{uuid.uuid4().hex[:12]}"
    content = {"ZipFile": zip_of({"python/tool.py": "VALUE = 1\n"})}
    first = client.publish_layer_version(LayerName=name, Content=content, CompatibleRuntimes=["python3.11"])
    second = client.publish_layer_version(LayerName=name, Content=content, Description="two")
    assert (status(first), second["Version"]) == (201, 2)
    version = {"LayerName": name, "VersionNumber": 1}
    assert client.get_layer_version(**version)["Content"]["CodeSha256"] == first["Content"]["CodeSha256"]
    assert client.get_layer_version_by_arn(Arn=second["LayerVersionArn"])["Description"] == "two"
    listed = client.list_layer_versions(LayerName=name)["LayerVersions"]
    assert [one["Version"] for one in listed] == [2, 1]
    layers = client.get_paginator("list_layers").paginate(CompatibleRuntime="python3.11")
    matching = {one["LayerName"]: one["LatestMatchingVersion"]["Version"] for page in layers for one in page["Layers"]}
    assert matching[name] == 1
    permission = {**version, "StatementId": "all", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    added = client.add_layer_version_permission(**permission)
    policy = client.get_layer_version_policy(**version)
    assert policy["RevisionId"] == added["RevisionId"]
    assert refused(client.add_layer_version_permission, **permission)[:2] == (409, "ResourceConflictException")
    stale = {**version, "StatementId": "all", "RevisionId": OLD_REVISION}
    assert refused(client.remove_layer_version_permission, **stale)[:2] == (412, "PreconditionFailedException")
    assert status(client.remove_layer_version_permission(**version, StatementId="all")) == 204
    assert status(client.delete_layer_version(**version)) == 204
    assert refused(client.get_layer_version, **version)[2] == "The resource you requested does not exist."
    assert refused(client.get_layer_version, LayerName=name, VersionNumber=0)[2] == (
        "Layer Version Cannot be less than 1"
    )
    client.delete_layer_version(LayerName=name, VersionNumber=2)


def test_code_signing_configs(client: Any, function: Deployed) -> None:
    publishers = {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/0123456789"]}
    config = client.create_code_signing_config(AllowedPublishers=publishers, Description="d")["CodeSigningConfig"]
    arn = {"CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    assert config["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert client.update_code_signing_config(**arn, Description="e")["CodeSigningConfig"]["Description"] == "e"
    assert client.get_code_signing_config(**arn)["CodeSigningConfig"]["Description"] == "e"
    listed = client.list_code_signing_configs()["CodeSigningConfigs"]
    assert config["CodeSigningConfigId"] in [one["CodeSigningConfigId"] for one in listed]
    client.put_function_code_signing_config(**arn, FunctionName=function.name)
    assert (
        client.get_function_code_signing_config(FunctionName=function.name)["CodeSigningConfigArn"]
        == (config["CodeSigningConfigArn"])
    )
    assert client.list_functions_by_code_signing_config(**arn)["FunctionArns"] == (
        [f"{ACCOUNT}:function:{function.name}"]
    )
    assert refused(client.delete_code_signing_config, **arn)[:2] == (409, "ResourceConflictException")
    client.delete_function_code_signing_config(FunctionName=function.name)
    assert status(client.delete_code_signing_config(**arn)) == 204
    assert refused(client.get_code_signing_config, **arn)[:2] == (404, "ResourceNotFoundException")


def test_settings_of_a_function_that_have_two_verbs(client: Any, function: Deployed) -> None:
    name = function.name
    assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    client.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="FunctionUpdate")
    assert client.get_runtime_management_config(FunctionName=name)["UpdateRuntimeOn"] == "FunctionUpdate"
    scaling = {"MinExecutionEnvironments": 1, "MaxExecutionEnvironments": 2}
    client.put_function_scaling_config(FunctionName=name, Qualifier="1", FunctionScalingConfig=scaling)
    shown = client.get_function_scaling_config(FunctionName=name, Qualifier="1")
    assert shown["RequestedFunctionScalingConfig"] == scaling


def test_an_operation_that_is_not_built_says_so_in_the_form_of_the_api(client: Any) -> None:
    code, name, text = refused(client.list_capacity_providers)
    assert (code, name) == (400, "InvalidParameterValueException")
    assert "not supported by lambdad" in text
