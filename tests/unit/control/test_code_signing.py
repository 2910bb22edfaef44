"""Code signing configurations: made, shown, attached, detached, removed."""

from __future__ import annotations

import re
from typing import Any

from lambdad.testing.control_plane import Plane, make_zip, new_function, with_plane

PUBLISHERS = {"SigningProfileVersionArns": ["arn:aws:signer:eu-west-1:123456789012:/signing-profiles/p/1"]}
MISSING = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-" + "0" * 17


async def create(plane: Plane, **params: Any) -> dict[str, Any]:
    answer = await plane.call("CreateCodeSigningConfig", AllowedPublishers=PUBLISHERS, **params)
    config: dict[str, Any] = answer["CodeSigningConfig"]
    return config


@with_plane()
async def test_a_configuration_is_made_shown_changed_and_removed(plane: Plane) -> None:
    config = await create(plane, Description="d", Tags={"a": "b"})
    arn = config["CodeSigningConfigArn"]
    assert re.fullmatch(r"arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-[a-z0-9]{17}", arn)
    assert config["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert (await plane.call("GetCodeSigningConfig", CodeSigningConfigArn=arn))["CodeSigningConfig"] == config
    assert (await plane.call("ListTags", Resource=arn))["Tags"] == {"a": "b"}
    other = {"SigningProfileVersionArns": [PUBLISHERS["SigningProfileVersionArns"][0] + "2"]}
    changed = await plane.call(
        "UpdateCodeSigningConfig",
        CodeSigningConfigArn=arn,
        Description="e",
        AllowedPublishers=other,
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    shown = changed["CodeSigningConfig"]
    assert (shown["Description"], shown["AllowedPublishers"]) == ("e", other)
    assert shown["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
    assert await plane.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn) == {}
    assert await plane.fails("GetCodeSigningConfig", CodeSigningConfigArn=arn) == (
        "ResourceNotFoundException",
        404,
        f"The Lambda code signing configuration {arn} can not be found.",
    )


@with_plane()
async def test_functions_have_one_and_it_cannot_be_removed_meanwhile(plane: Plane) -> None:
    arn = (await create(plane))["CodeSigningConfigArn"]
    await plane.create(CodeSigningConfigArn=arn)
    await plane.create("g")
    assert await plane.call("GetFunctionCodeSigningConfig", FunctionName="g") == {}
    attached = await plane.call("PutFunctionCodeSigningConfig", FunctionName="g", CodeSigningConfigArn=arn)
    assert attached == {"CodeSigningConfigArn": arn, "FunctionName": "g"}
    assert await plane.call("GetFunctionCodeSigningConfig", FunctionName="g") == attached
    first = await plane.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn, MaxItems=1)
    rest = await plane.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn, Marker=first["NextMarker"])
    assert [found.rpartition(":")[2] for found in first["FunctionArns"] + rest["FunctionArns"]] == ["f", "g"]
    assert (await plane.fails("DeleteCodeSigningConfig", CodeSigningConfigArn=arn))[1] == 409
    for name in ("f", "g"):
        await plane.call("DeleteFunctionCodeSigningConfig", FunctionName=name)
    await plane.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)


@with_plane()
async def test_a_missing_configuration_cannot_be_attached(plane: Plane) -> None:
    expected = (
        "CodeSigningConfigNotFoundException",
        404,
        "The code signing configuration cannot be found. "
        f"Check that the provided configuration is not deleted: {MISSING}.",
    )
    assert await plane.fails("CreateFunction", **new_function(CodeSigningConfigArn=MISSING)) == expected
    await plane.create()
    assert await plane.fails("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=MISSING) == expected
    far = MISSING.replace("eu-west-1", "us-east-1")
    assert (await plane.fails("GetCodeSigningConfig", CodeSigningConfigArn=far))[1] == 404


@with_plane()
async def test_configurations_are_listed_in_pages(plane: Plane) -> None:
    made = sorted([(await create(plane))["CodeSigningConfigId"] for _ in range(3)])
    first = await plane.call("ListCodeSigningConfigs", MaxItems=2)
    rest = await plane.call("ListCodeSigningConfigs", Marker=first["NextMarker"])
    listed = first["CodeSigningConfigs"] + rest["CodeSigningConfigs"]
    assert [config["CodeSigningConfigId"] for config in listed] == made


@with_plane()
async def test_enforced_signatures_refuse_code_and_warnings_let_it_in(plane: Plane) -> None:
    publishers = {"SigningProfileVersionArns": ["arn:aws:signer:eu-west-1:123456789012:/signing-profiles/p/abcdefghij"]}
    answer = await plane.call("CreateCodeSigningConfig", AllowedPublishers=publishers)
    arn = answer["CodeSigningConfig"]["CodeSigningConfigArn"]
    await plane.create("f", CodeSigningConfigArn=arn)
    await plane.call(
        "UpdateCodeSigningConfig",
        CodeSigningConfigArn=arn,
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    code, status, message = await plane.fails("UpdateFunctionCode", FunctionName="f", ZipFile=make_zip())
    assert (code, status) == ("CodeVerificationFailedException", 400)
    assert "the code signing policy is set to ENFORCE" in message
    assert (await plane.fails("CreateFunction", **new_function("g", CodeSigningConfigArn=arn)))[0] == code
    await plane.update("f", Description="only the code is checked")
    await plane.call("DeleteFunctionCodeSigningConfig", FunctionName="f")
    await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=make_zip())
