"""CreateFunction, GetFunction, ListFunctions, UpdateFunctionCode, UpdateFunctionConfiguration, DeleteFunction."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

from lambdad.control.interface import Quotas
from lambdad.testing.control_plane import ROLE, Plane, make_zip, new_function, open_plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
UPDATING = f"The operation cannot be performed at this time. An update is in progress for resource: {ARN}"
REVISION = (
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
)
OTHER_ZIP = make_zip({"main.py": "def handler(event, context):\n    return 2\n"})


@with_plane()
async def test_a_new_function_is_pending_and_shows_awss_defaults(plane: Plane) -> None:
    package = make_zip()
    plane.preparer.hold()
    answer = await plane.call("CreateFunction", **new_function())
    revision, config_sha = answer.pop("RevisionId"), answer.pop("ConfigSha256")
    runtime_arn = answer.pop("RuntimeVersionConfig")["RuntimeVersionArn"]
    assert (len(revision), len(base64.b64decode(config_sha))) == (36, 32)
    assert runtime_arn.startswith("arn:aws:lambda:eu-west-1::runtime:")
    assert answer == {
        "FunctionName": "f",
        "FunctionArn": ARN,
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "main.handler",
        "CodeSize": len(package),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "2023-11-14T22:13:20.250+0000",
        "CodeSha256": base64.b64encode(hashlib.sha256(package).digest()).decode(),
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
    }


@with_plane()
async def test_a_function_becomes_active_with_a_new_revision(plane: Plane) -> None:
    created = await plane.create()
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in shown
    assert shown["RevisionId"] != created["RevisionId"]


@with_plane()
async def test_what_can_be_set_is_shown_as_it_was_set(plane: Plane) -> None:
    given = {
        "Description": "a function",
        "Timeout": 900,
        "MemorySize": 10240,
        "EphemeralStorage": {"Size": 10240},
        "Architectures": ["arm64"],
        "TracingConfig": {"Mode": "Active"},
        "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead"},
        "KMSKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1",
        "Environment": {"Variables": {"NAME": "value"}},
        "FileSystemConfigs": [
            {
                "Arn": "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0",
                "LocalMountPath": "/mnt/data",
            }
        ],
        "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/mine"},
        "TenancyConfig": {"TenantIsolationMode": "PER_TENANT"},
        "DurableConfig": {"ExecutionTimeout": 60, "RetentionPeriodInDays": 3},
    }
    await plane.create(**given)
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": "/mine",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
    }
    del given["LoggingConfig"]
    assert {member: shown[member] for member in given} == given


@with_plane()
async def test_a_vpc_configuration_gets_the_id_of_a_vpc(plane: Plane) -> None:
    vpc = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    created = await plane.create(VpcConfig=vpc)
    assert created["VpcConfig"]["VpcId"].startswith("vpc-")
    cleared = await plane.update(VpcConfig={"SubnetIds": [], "SecurityGroupIds": []})
    assert cleared["VpcConfig"] == {
        "SubnetIds": [],
        "SecurityGroupIds": [],
        "VpcId": "",
        "Ipv6AllowedForDualStack": False,
    }


@with_plane()
async def test_an_environment_is_shown_only_when_it_was_given(plane: Plane) -> None:
    assert "Environment" not in await plane.create("bare")
    assert (await plane.create("empty", Environment={"Variables": {}}))["Environment"] == {"Variables": {}}


@with_plane()
async def test_a_name_can_be_an_arn_or_a_partial_one(plane: Plane) -> None:
    for number, name in enumerate((ARN, "123456789012:function:f1", "function:f2")):
        created = await plane.create(name.rpartition(":")[2], FunctionName=name)
        assert created["FunctionName"] == ("f", "f1", "f2")[number]


@with_plane()
async def test_names_of_other_regions_and_accounts_are_refused(plane: Plane) -> None:
    far = "arn:aws:lambda:us-east-1:123456789012:function:f"
    assert await plane.fails("GetFunction", FunctionName=far) == (
        "ResourceNotFoundException",
        404,
        "Functions from 'us-east-1' are not reachable in this region ('eu-west-1')",
    )
    theirs = "arn:aws:lambda:eu-west-1:999999999999:function:f"
    code, status, _ = await plane.fails("GetFunction", FunctionName=theirs)
    assert (code, status) == ("AccessDeniedException", 403)


@with_plane()
async def test_a_qualifier_must_not_contradict_the_name(plane: Plane) -> None:
    assert await plane.fails("GetFunction", FunctionName="f:1", Qualifier="2") == (
        "InvalidParameterValueException",
        400,
        "The derived qualifier from the function name does not match the specified qualifier.",
    )


@with_plane()
async def test_a_name_is_taken_once(plane: Plane) -> None:
    await plane.create()
    expected = ("ResourceConflictException", 409, "Function already exist: f")
    assert await plane.fails("CreateFunction", **new_function()) == expected


@with_plane()
async def test_two_creations_at_once_make_one_function(plane: Plane) -> None:
    results = await asyncio.gather(
        *(plane.call("CreateFunction", **new_function()) for _ in range(2)), return_exceptions=True
    )
    assert sorted(isinstance(result, Exception) for result in results) == [False, True]


@with_plane()
async def test_a_name_of_more_than_64_characters_is_refused_at_creation_and_not_found_later(plane: Plane) -> None:
    name = "x" * 65
    code, status, text = await plane.fails("CreateFunction", **new_function(name))
    assert (code, status) == ("ValidationException", 400)
    assert text.endswith("Member must have length less than or equal to 64")
    assert (await plane.fails("GetFunction", FunctionName=name))[1] == 404


@with_plane()
async def test_runtime_and_handler_belong_to_zips(plane: Plane) -> None:
    text = "Runtime and Handler are mandatory parameters for functions created with deployment packages."
    for member in ("Runtime", "Handler"):
        expected = ("InvalidParameterValueException", 400, text)
        assert await plane.fails("CreateFunction", **new_function(**{member: None})) == expected


@with_plane(missing_runtimes=("ruby3.4",))
async def test_a_runtime_must_exist_at_aws_and_on_this_host(plane: Plane) -> None:
    texts = {}
    for runtime in ("nodejs14.x", "cobol85", "ruby3.4"):
        code, status, texts[runtime] = await plane.fails("CreateFunction", **new_function(Runtime=runtime))
        assert (code, status) == ("InvalidParameterValueException", 400)
    assert texts["nodejs14.x"] == (
        "The runtime parameter of nodejs14.x is no longer supported for creating or updating AWS Lambda functions. "
        "We recommend you use a supported runtime while creating or updating functions."
    )
    assert "failed to satisfy constraint: Member must satisfy enum value set: [nodejs16.x, " in texts["cobol85"]
    assert texts["ruby3.4"] == "ruby3.4 is not on this host: install it."


@with_plane()
async def test_what_belongs_to_the_other_kind_of_function_is_refused(plane: Plane) -> None:
    command = {"ImageConfig": {"Command": ["a"]}}
    text = "Please don't provide ImageConfig for a function with packageType Zip."
    assert (await plane.fails("CreateFunction", **new_function(**command)))[2] == text
    await plane.create()
    assert (await plane.fails("UpdateFunctionConfiguration", FunctionName="f", **command))[2] == text
    await plane.update(ImageConfig={})
    published = {"Publish": True, "PublishTo": "LATEST_PUBLISHED"}
    for operation, params in (
        ("CreateFunction", new_function("g", **published)),
        ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": make_zip(), **published}),
        ("PublishVersion", {"FunctionName": "f", "PublishTo": "LATEST_PUBLISHED"}),
    ):
        assert "managed instances" in (await plane.fails(operation, **params))[2]


@with_plane()
async def test_tags_are_given_at_creation_and_shown_by_get_function(plane: Plane) -> None:
    await plane.create(Tags={"team": "a"})
    assert (await plane.call("GetFunction", FunctionName="f"))["Tags"] == {"team": "a"}
    await plane.create("untagged")
    assert "Tags" not in await plane.call("GetFunction", FunctionName="untagged")
    many = {f"key{number}": "" for number in range(51)}
    assert (await plane.fails("CreateFunction", **new_function("g", Tags=many)))[2] == (
        "Number of tags exceeds resource tag limit."
    )


@with_plane()
async def test_publish_at_creation_makes_version_1(plane: Plane) -> None:
    answer = await plane.create(Publish=True)
    assert (answer["Version"], answer["FunctionArn"]) == ("1", ARN)
    versions = await plane.call("ListVersionsByFunction", FunctionName="f")
    assert [version["Version"] for version in versions["Versions"]] == ["$LATEST", "1"]


@with_plane()
async def test_get_function_links_to_the_code_and_shows_reserved_concurrency(plane: Plane) -> None:
    await plane.create()
    code = (await plane.call("GetFunction", FunctionName="f"))["Code"]
    digest = hashlib.sha256(make_zip()).hexdigest()
    assert code["RepositoryType"] == "S3"
    assert code["Location"].startswith(f"http://127.0.0.1:9000/_lambdad/code/{digest}?token=")
    await plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=7)
    answer = await plane.call("GetFunction", FunctionName="f")
    assert answer["Concurrency"] == {"ReservedConcurrentExecutions": 7}


@with_plane()
async def test_a_missing_function_is_named_as_the_caller_named_it(plane: Plane) -> None:
    for params, arn in (({}, ARN), ({"Qualifier": "1"}, f"{ARN}:1"), ({"Qualifier": "$LATEST"}, f"{ARN}:$LATEST")):
        expected = ("ResourceNotFoundException", 404, f"Function not found: {arn}")
        assert await plane.fails("GetFunction", FunctionName="f", **params) == expected
        assert await plane.fails("GetFunctionConfiguration", FunctionName="f", **params) == expected
    for operation in ("UpdateFunctionConfiguration", "UpdateFunctionCode", "PublishVersion", "DeleteFunction"):
        assert await plane.fails(operation, FunctionName="f") == (
            "ResourceNotFoundException",
            404,
            f"Function not found: {ARN}",
        )


@with_plane()
async def test_a_qualified_arn_shows_the_alias_or_version_that_was_asked_for(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    for qualifier, version in (("live", "1"), ("1", "1"), ("$LATEST", "$LATEST")):
        shown = (await plane.call("GetFunction", FunctionName="f", Qualifier=qualifier))["Configuration"]
        assert (shown["FunctionArn"], shown["Version"]) == (f"{ARN}:{qualifier}", version)


@with_plane()
async def test_a_list_has_pages_and_leaves_out_states(plane: Plane) -> None:
    for number in range(5):
        await plane.create(f"f{number}")
    seen: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = await plane.call("ListFunctions", MaxItems=2, **marker)
        seen += [function["FunctionName"] for function in page["Functions"]]
        assert all("State" not in function and "RuntimeVersionConfig" not in function for function in page["Functions"])
        assert all("LastUpdateStatus" not in function for function in page["Functions"])
        if "NextMarker" not in page:
            break
        marker = {"Marker": page["NextMarker"]}
    assert seen == ["f0", "f1", "f2", "f3", "f4"]


@with_plane()
async def test_a_list_of_all_versions_is_qualified_and_has_pages(plane: Plane) -> None:
    await plane.create("a", Publish=True)
    await plane.create("b")
    first = await plane.call("ListFunctions", FunctionVersion="ALL", MaxItems=2)
    rest = await plane.call("ListFunctions", FunctionVersion="ALL", Marker=first["NextMarker"])
    names = [function["FunctionArn"].partition(":function:")[2] for function in first["Functions"] + rest["Functions"]]
    assert names == ["a:$LATEST", "a:1", "b:$LATEST"]
    assert (await plane.call("ListFunctions", MasterRegion="us-east-1"))["Functions"] == []


@with_plane()
async def test_a_page_has_at_most_50_functions_and_a_marker_must_be_one_of_ours(plane: Plane) -> None:
    await plane.create()
    assert len((await plane.call("ListFunctions", MaxItems=10000))["Functions"]) == 1
    for marker in ("nonsense", "ÿ", "WzFd", "W10="):
        assert (await plane.fails("ListFunctions", Marker=marker))[:2] == ("InvalidParameterValueException", 400)


@with_plane()
async def test_new_code_is_in_progress_and_then_successful(plane: Plane) -> None:
    created = await plane.create()
    plane.now += 60
    plane.preparer.hold()
    updated = await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_ZIP, Architectures=["arm64"])
    assert updated["CodeSha256"] != created["CodeSha256"]
    assert updated["Architectures"] == ["arm64"]
    assert updated["LastModified"] == "2023-11-14T22:14:20.250+0000"
    assert [updated[f"LastUpdateStatus{part}"] for part in ("", "Reason", "ReasonCode")] == [
        "InProgress",
        "The function is being created.",
        "Creating",
    ]
    assert updated["State"] == "Active"
    plane.preparer.release()
    await plane.settle()
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["LastUpdateStatus"], shown["CodeSha256"]) == ("Successful", updated["CodeSha256"])
    assert "LastUpdateStatusReason" not in shown


@with_plane()
async def test_invokes_run_the_old_code_until_the_new_is_ready(plane: Plane) -> None:
    await plane.create()
    before = plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec
    plane.preparer.hold()
    await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_ZIP)
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec is before
    plane.preparer.release()
    await plane.settle()
    after = plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec
    assert after.key != before.key
    assert after.code != before.code


@with_plane()
async def test_code_that_cannot_be_prepared_leaves_the_old_serving(plane: Plane) -> None:
    await plane.create()
    before = plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec
    plane.preparer.reason = "no such runtime"
    await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_ZIP)
    await plane.settle()
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Failed")
    assert shown["LastUpdateStatusReason"] == "no such runtime"
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec is before


@with_plane()
async def test_a_change_waits_for_none_that_is_on_its_way_without_patience(plane: Plane) -> None:
    await plane.create()
    plane.preparer.hold()
    await plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    for operation, params in (
        ("UpdateFunctionConfiguration", {"Timeout": 6}),
        ("UpdateFunctionCode", {"ZipFile": OTHER_ZIP}),
        ("PublishVersion", {}),
    ):
        expected = ("ResourceConflictException", 409, UPDATING)
        assert await plane.fails(operation, FunctionName="f", **params) == expected


@with_plane()
async def test_a_pending_function_cannot_be_changed(plane: Plane) -> None:
    plane.preparer.hold()
    await plane.call("CreateFunction", **new_function())
    text = "The operation cannot be performed at this time. The function is currently in the following state: Pending"
    for operation in ("UpdateFunctionConfiguration", "PublishVersion"):
        assert await plane.fails(operation, FunctionName="f") == ("ResourceConflictException", 409, text)


@with_plane(patience_s=60.0)
async def test_with_patience_changes_follow_one_another_without_polling(plane: Plane) -> None:
    await plane.call("CreateFunction", **new_function())
    await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_ZIP)
    await plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    assert (await plane.call("PublishVersion", FunctionName="f"))["Timeout"] == 5


@with_plane()
async def test_only_the_members_that_are_given_change_and_empty_ones_clear(plane: Plane) -> None:
    dead = "arn:aws:sns:eu-west-1:123456789012:dead"
    created = await plane.create(
        Environment={"Variables": {"A": "1"}}, Description="d", DeadLetterConfig={"TargetArn": dead}
    )
    updated = await plane.update(MemorySize=256, Runtime="python3.11", Handler="other.handler", Role=ROLE + "2")
    changed = {member for member in created if created[member] != updated.get(member)}
    states = {"State", "StateReason", "StateReasonCode"}
    derived = {"RevisionId", "ConfigSha256", "RuntimeVersionConfig"}
    assert changed - states - derived == {"MemorySize", "Runtime", "Handler", "Role"}
    cleared = await plane.update(
        Environment={"Variables": {}},
        Description="",
        DeadLetterConfig={"TargetArn": ""},
        TracingConfig={"Mode": "Active"},
    )
    assert (cleared["Environment"], cleared["Description"]) == ({"Variables": {}}, "")
    assert "DeadLetterConfig" not in cleared


@with_plane()
async def test_a_revision_guards_updates(plane: Plane) -> None:
    await plane.create()
    stale = "00000000-0000-0000-0000-000000000000"
    for operation, params in (
        ("UpdateFunctionConfiguration", {}),
        ("UpdateFunctionCode", {"ZipFile": OTHER_ZIP}),
        ("UpdateFunctionCode", {"ZipFile": OTHER_ZIP, "DryRun": True}),
        ("PublishVersion", {}),
    ):
        assert await plane.fails(operation, FunctionName="f", RevisionId=stale, **params) == (
            "PreconditionFailedException",
            412,
            REVISION,
        )
    current = (await plane.call("GetFunctionConfiguration", FunctionName="f"))["RevisionId"]
    await plane.update(RevisionId=current, Timeout=9)


@with_plane()
async def test_a_dry_run_changes_nothing(plane: Plane) -> None:
    created = await plane.create()
    tried = await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_ZIP, DryRun=True)
    assert tried["CodeSha256"] != created["CodeSha256"]
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["CodeSha256"] == created["CodeSha256"]


@with_plane()
async def test_code_can_be_published_as_it_is_updated(plane: Plane) -> None:
    await plane.create()
    published = await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_ZIP, Publish=True)
    assert (published["Version"], published["FunctionArn"]) == ("1", f"{ARN}:1")


@with_plane()
async def test_packages_of_the_other_kind_are_refused(plane: Plane) -> None:
    await plane.create()
    assert (await plane.fails("UpdateFunctionCode", FunctionName="f", ImageUri="x:y"))[2] == (
        "Please don't provide ImageUri when updating a function with packageType Zip."
    )
    assert (await plane.fails("CreateFunction", **new_function("g", PackageType="Image")))[2] == (
        "Please provide ImageUri when creating a function with packageType Image."
    )
    image = {"PackageType": "Image", "Code": {"ImageUri": "x:y"}}
    assert (await plane.fails("CreateFunction", **new_function("g", **image)))[:2] == (
        "InvalidParameterValueException",
        400,
    )
    assert (await plane.fails("CreateFunction", **new_function("g", Code={"ImageUri": "x:y"})))[2] == (
        "Please don't provide ImageUri when creating a function with packageType Zip."
    )


@with_plane()
async def test_deleting_a_function_takes_everything_that_is_its_own(plane: Plane) -> None:
    await plane.create(Publish=True, Tags={"a": "b"})
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await plane.call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=1)
    await plane.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    assert await plane.call("DeleteFunction", FunctionName="f") == {"StatusCode": 204}
    assert (await plane.call("ListFunctions"))["Functions"] == []
    await plane.create()
    assert (await plane.call("ListVersionsByFunction", FunctionName="f"))["Versions"][1:] == []
    assert (await plane.call("ListAliases", FunctionName="f"))["Aliases"] == []
    assert (await plane.call("ListFunctionUrlConfigs", FunctionName="f"))["FunctionUrlConfigs"] == []
    assert "Tags" not in await plane.call("GetFunction", FunctionName="f")


@with_plane()
async def test_a_version_is_deleted_alone_and_its_number_is_never_used_again(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.call("DeleteFunction", FunctionName="f", Qualifier="1")
    await plane.call("DeleteFunction", FunctionName="f", Qualifier="1")
    assert (await plane.call("PublishVersion", FunctionName="f"))["Version"] == "2"


@with_plane()
async def test_latest_aliases_and_versions_in_use_cannot_be_deleted(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    assert (await plane.fails("DeleteFunction", FunctionName="f", Qualifier="$LATEST"))[2] == (
        "$LATEST version cannot be deleted without deleting the function."
    )
    assert (await plane.fails("DeleteFunction", FunctionName="f", Qualifier="live"))[2] == (
        "Deletion of aliases is not currently supported."
    )
    code, status, text = await plane.fails("DeleteFunction", FunctionName="f", Qualifier="1")
    assert (code, status) == ("ResourceConflictException", 409)
    assert "live" in text


@with_plane(quotas=Quotas(code_storage=len(make_zip()) + 10))
async def test_the_code_of_an_account_is_limited(plane: Plane) -> None:
    await plane.create()
    assert (await plane.fails("CreateFunction", **new_function("g")))[:2] == ("CodeStorageExceededException", 400)


@with_plane(quotas=Quotas(unzipped=1000))
async def test_function_and_layers_together_are_limited(plane: Plane) -> None:
    layer = make_zip({"big": "x" * 990})
    published = await plane.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": layer})
    await plane.create()
    size = 990 + len("def handler(event, context):\n    return event\n")
    text = (
        "Function code combined with layers exceeds the maximum allowed size of 1000 bytes. "
        f"The actual size is {size} bytes."
    )
    arns = [published["LayerVersionArn"]]
    assert (await plane.fails("UpdateFunctionConfiguration", FunctionName="f", Layers=arns))[2] == text
    assert (await plane.fails("CreateFunction", **new_function("g", Layers=arns)))[2] == text


def test_functions_survive_a_restart(tmp_path: Path) -> None:
    async def first() -> None:
        async with open_plane(tmp_path) as plane:
            await plane.create(Publish=True, Tags={"a": "b"})

    async def second() -> None:
        async with open_plane(tmp_path) as plane:
            answer = await plane.call("GetFunction", FunctionName="f")
            assert (answer["Configuration"]["State"], answer["Tags"]) == ("Active", {"a": "b"})
            assert plane.catalogue.resolve(plane.namespace, "f", "1", 0.0).executed_version == "1"

    asyncio.run(first())
    asyncio.run(second())
