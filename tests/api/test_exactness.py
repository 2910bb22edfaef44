"""What real clients see, word by word: the texts of errors, the members of answers, waiters, markers. Through boto3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import botocore
import pytest
from botocore.exceptions import ClientError
from tests.exactness import CODE, CREATION, FUNCTIONS, QUEUE, ROLE, Row, new
from tests.exactness_resources import INVOKES, RESOURCES

from lambdad.testing.local_node import LocalNode
from lambdad.testing.shapes import watch

HERE = "arn:aws:lambda:us-east-1:000000000000"


class Stage:
    """The function, the layer and the mapping that the rows are about. client: sends what it is told to."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.function, self.layer = f"exact-{uuid.uuid4().hex[:8]}", f"exact-{uuid.uuid4().hex[:8]}"
        self.arn = f"{HERE}:function:{self.function}"
        self.queue = QUEUE.replace("{f}", self.function)
        self.uuid = ""

    def build(self) -> None:
        client, named = self.client, {"FunctionName": self.function}
        client.create_function(**new(**named))
        self.settle()
        client.publish_version(**named)
        client.update_function_configuration(**named, Description="second")
        self.settle()
        client.publish_version(**named)
        client.create_alias(**named, Name="live", FunctionVersion="1")
        client.create_function_url_config(**named, AuthType="NONE")
        client.add_permission(**named, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
        client.publish_layer_version(LayerName=self.layer, Content={"ZipFile": CODE})
        client.publish_layer_version(LayerName=self.layer, Content={"ZipFile": CODE})
        self.uuid = client.create_event_source_mapping(**named, EventSourceArn=self.queue)["UUID"]

    def settle(self) -> None:
        self.client.get_waiter("function_active_v2").wait(FunctionName=self.function)
        self.client.get_waiter("function_updated_v2").wait(FunctionName=self.function)

    def clear(self) -> None:
        self.client.delete_event_source_mapping(UUID=self.uuid)
        self.client.delete_function(FunctionName=self.function)
        for number in (1, 2):
            self.client.delete_layer_version(LayerName=self.layer, VersionNumber=number)

    def fill(self, value: Any) -> Any:
        """`value` with names for what stands in braces."""
        match value:
            case str():
                for mark, name in (
                    ("{f}", self.function),
                    ("{l}", self.layer),
                    ("{arn}", self.arn),
                    ("{here}", HERE),
                    ("{queue}", self.queue),
                    ("{uuid}", self.uuid),
                ):
                    value = value.replace(mark, name)
                return value
            case list():
                return [self.fill(item) for item in value]
            case dict():
                return {key: self.fill(item) for key, item in value.items()}
            case _:
                return value


@pytest.fixture(scope="module")
def stage(node: LocalNode) -> Iterator[Stage]:
    made = Stage(watch(node.client(parameter_validation=False)))
    made.build()
    yield made
    made.clear()


CREATIONS: list[Row] = [("CreateFunction", new(**params), code, text) for params, code, text in CREATION]


@pytest.mark.parametrize(
    "row",
    [*CREATIONS, *FUNCTIONS, *RESOURCES, *INVOKES],
    ids=lambda row: f"{row[0]}-{row[3][:40]}".replace(" ", "_").replace("/", "_"),
)
def test_an_error_is_worded_as_aws_words_it(stage: Stage, row: Row) -> None:
    operation, params, code, text = row
    with pytest.raises(ClientError) as caught:
        getattr(stage.client, botocore.xform_name(operation))(**stage.fill(params))
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    expected = stage.fill(text)
    if expected.endswith("…"):
        assert error["Message"].startswith(expected[:-1])
    else:
        assert error["Message"] == expected


ECHO = {
    "Runtime": "python3.11",
    "Role": ROLE,
    "Handler": "app.handler",
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "Version": "$LATEST",
    "TracingConfig": {"Mode": "PassThrough"},
    "PackageType": "Zip",
    "Architectures": ["x86_64"],
    "EphemeralStorage": {"Size": 512},
    "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
}
CREATING = {"State": "Pending", "StateReason": "The function is being created.", "StateReasonCode": "Creating"}
UPDATING = {
    "State": "Active",
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}
SETTLED = {"State": "Active", "LastUpdateStatus": "Successful"}
ITS_OWN = {"CodeSize", "CodeSha256", "ConfigSha256", "LastModified", "RevisionId", "RuntimeVersionConfig"}
"""Members whose values are of the moment, or of this platform."""


def shown(configuration: dict[str, Any]) -> dict[str, Any]:
    """A FunctionConfiguration without what is different each time, which must be there all the same."""
    assert configuration.keys() >= ITS_OWN
    return {name: value for name, value in configuration.items() if name not in {*ITS_OWN, "ResponseMetadata"}}


def test_a_function_shows_awss_defaults_and_states_and_nothing_else(stage: Stage) -> None:
    client, name = stage.client, f"echo-{uuid.uuid4().hex[:8]}"
    arn = f"{HERE}:function:{name}"
    mine = {**ECHO, "FunctionName": name, "FunctionArn": arn}
    mine["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    created = client.create_function(**new(FunctionName=name))
    assert shown(created) == {**mine, **CREATING}
    client.get_waiter("function_exists").wait(FunctionName=name)
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    whole = client.get_function(FunctionName=name)
    assert shown(whole["Configuration"]) == {**mine, **SETTLED}
    assert whole.keys() == {"ResponseMetadata", "Configuration", "Code"}
    assert whole["Code"].keys() == {"RepositoryType", "Location"}
    assert whole["Configuration"]["RevisionId"] != created["RevisionId"]
    updated = client.update_function_configuration(
        FunctionName=name,
        Environment={"Variables": {}},
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        LoggingConfig={"LogFormat": "JSON"},
        TracingConfig={"Mode": "Active"},
    )
    mine |= {
        "Environment": {"Variables": {}},
        "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": "", "Ipv6AllowedForDualStack": False},
        "LoggingConfig": {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "INFO",
            "SystemLogLevel": "INFO",
            "LogGroup": f"/aws/lambda/{name}",
        },
        "TracingConfig": {"Mode": "Active"},
    }
    assert shown(updated) == {**mine, **UPDATING}
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    published = client.publish_version(FunctionName=name, Description="one")
    version = {**mine, "FunctionArn": f"{arn}:1", "Version": "1", "Description": "one"}
    assert shown(published) == {**version, **CREATING}
    client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    assert shown(client.get_function_configuration(FunctionName=f"{name}:1")) == {**version, **SETTLED}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    by_alias = client.get_function_configuration(FunctionName=name, Qualifier="live")
    assert (by_alias["FunctionArn"], by_alias["Version"]) == (f"{arn}:live", "1")
    listed = client.list_versions_by_function(FunctionName=name)["Versions"]
    hidden = {"RuntimeVersionConfig"}
    assert [{*one} & {*SETTLED, *CREATING, *UPDATING, *hidden} for one in listed] == [set(), set()]
    assert [one["FunctionArn"] for one in listed] == [f"{arn}:$LATEST", f"{arn}:1"]
    client.delete_function(FunctionName=name)


def test_a_policys_statement_has_the_conditions_that_were_given(stage: Stage) -> None:
    client, named = stage.client, {"FunctionName": stage.function, "Action": "lambda:InvokeFunction"}
    start = '{"Sid":"c","Effect":"Allow","Principal":'
    end = f',"Resource":"{stage.arn}"'
    invoke, url = '"Action":"lambda:InvokeFunction"', '"Action":"lambda:InvokeFunctionUrl"'
    for params, principal, action, condition in (
        (
            {"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::b", "SourceAccount": "111111111111"},
            '{"Service":"s3.amazonaws.com"}',
            invoke,
            '{"StringEquals":{"AWS:SourceAccount":"111111111111"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"}}',
        ),
        ({"Principal": "111111111111"}, '{"AWS":"arn:aws:iam::111111111111:root"}', invoke, ""),
        ({"Principal": ROLE}, f'{{"AWS":"{ROLE}"}}', invoke, ""),
        (
            {"Principal": "*", "PrincipalOrgID": "o-1234567890"},
            '"*"',
            invoke,
            '{"StringEquals":{"aws:PrincipalOrgID":"o-1234567890"}}',
        ),
        (
            {"Principal": "alexa-appkit.amazon.com", "EventSourceToken": "token"},
            '{"Service":"alexa-appkit.amazon.com"}',
            invoke,
            '{"StringEquals":{"lambda:EventSourceToken":"token"}}',
        ),
        (
            {"Principal": "*", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
            '"*"',
            url,
            '{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}',
        ),
        (
            {"Principal": "*", "InvokedViaFunctionUrl": True},
            '"*"',
            invoke,
            '{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}',
        ),
    ):
        added = client.add_permission(**{**named, "StatementId": "c", **params})
        more = f',"Condition":{condition}' if condition else ""
        assert added["Statement"] == f"{start}{principal},{action}{end}{more}}}"
        client.remove_permission(FunctionName=stage.function, StatementId="c")


def test_mappings_show_the_defaults_of_their_source(stage: Stage) -> None:
    client, mine = stage.client, {"FunctionArn": stage.arn}
    own = {"UUID", "EventSourceMappingArn", "LastModified", "ResponseMetadata"}
    stream, queue = f"arn:aws:kinesis:us-east-1:000000000000:stream/{stage.function}", f"{stage.queue}-echo"
    of_queue = {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []}
    of_stream = {
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
        "TumblingWindowInSeconds": 0,
    }
    for arn, params, defaults, reason in (
        (queue, {}, of_queue, "USER_INITIATED"),
        (stream, {"StartingPosition": "TRIM_HORIZON"}, of_stream, "User action"),
    ):
        made = client.create_event_source_mapping(
            FunctionName=stage.function, EventSourceArn=arn, Enabled=False, **params
        )
        shape = {**mine, **defaults, "EventSourceArn": arn, "State": "Creating", "StateTransitionReason": reason}
        assert {name: value for name, value in made.items() if name not in own} == shape
        assert client.get_event_source_mapping(UUID=made["UUID"])["State"] == "Disabled"
        assert client.update_event_source_mapping(UUID=made["UUID"], BatchSize=7)["State"] == "Updating"
        gone = client.delete_event_source_mapping(UUID=made["UUID"])
        assert (gone["State"], gone["BatchSize"]) == ("Deleting", 7)


def test_an_invoke_answers_with_awss_headers(stage: Stage) -> None:
    client = stage.client
    answer = client.invoke(FunctionName=stage.function, Qualifier="live", LogType="Tail", Payload=b"null")
    answer["Payload"].close()
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert (answer["StatusCode"], headers["x-amz-executed-version"], headers["content-type"]) == (
        200,
        "1",
        "application/json",
    )
    assert headers.keys() >= {
        "x-amzn-requestid",
        "x-amzn-trace-id",
        "x-amz-log-result",
        "x-amzn-remapped-content-length",
    }
    for kind, code in (("DryRun", 204), ("Event", 202)):
        answer = client.invoke(FunctionName=stage.function, InvocationType=kind)
        assert (answer["StatusCode"], answer["Payload"].read(), "ExecutedVersion" in answer) == (code, b"", False)


def test_the_account_counts_what_it_has(stage: Stage) -> None:
    before = stage.client.get_account_settings()["AccountUsage"]
    name = f"counted-{uuid.uuid4().hex[:8]}"
    stage.client.create_function(**new(FunctionName=name))
    after = stage.client.get_account_settings()["AccountUsage"]
    assert after["FunctionCount"] == before["FunctionCount"] + 1
    assert after["TotalCodeSize"] == before["TotalCodeSize"] + len(CODE)
    stage.client.delete_function(FunctionName=name)
    assert stage.client.get_account_settings()["AccountUsage"] == before
