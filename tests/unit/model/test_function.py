"""Functions, versions and aliases as values."""

from __future__ import annotations

import base64
from dataclasses import replace

from lambdad.model.arn import Namespace
from lambdad.model.environment import Code, Image
from lambdad.model.function import (
    Alias,
    Deployment,
    Function,
    FunctionVersion,
    ImageOverride,
    LayerUse,
    Logging,
    Package,
    Settings,
    Status,
    environment_spec,
)

SPACE = Namespace("123456789012", "eu-west-1")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"
SETTINGS = Settings(
    role="r",
    runtime="python3.12",
    handler="a.b",
    timeout_s=3,
    memory_mb=128,
    ephemeral_mb=512,
    logging=Logging(log_format="JSON", system_level="WARN", log_group="/mine"),
    layers=(LayerUse(arn="l", code=Code(sha256="cd" * 32, size=2), unzipped_size=3),),
)
ZIP = Package(code=Code(sha256="ab" * 32, size=7))
IMAGE = Image(uri="u:1", resolved_uri=f"u@sha256:{'ef' * 32}", manifest_sha256="00", command=("a",), entry_point=("e",))


def make_version(number: str = "$LATEST", settings: Settings = SETTINGS, package: Package = ZIP) -> FunctionVersion:
    return FunctionVersion(
        namespace=SPACE,
        name="f",
        version=number,
        deployment=Deployment(id="d", settings=settings, package=package),
        revision_id="r",
        last_modified=0.0,
        state=Status(value="Active"),
    )


def test_a_zip_has_its_digest_in_base64_and_an_image_its_own() -> None:
    assert (ZIP.type, ZIP.size, ZIP.sha256) == ("Zip", 7, base64.b64encode(b"\xab" * 32).decode())
    package = Package(image=IMAGE)
    assert (package.type, package.size, package.sha256) == ("Image", 0, "ef" * 32)


def test_arns_are_qualified_but_for_latest() -> None:
    assert (make_version().arn, make_version("7").arn) == (ARN, f"{ARN}:7")
    assert Function(namespace=SPACE, name="f").arn == ARN
    assert Alias(namespace=SPACE, function="f", name="live", version="1", revision_id="r").arn == f"{ARN}:live"


def test_what_runs_is_the_deployment_that_is_given() -> None:
    version = make_version("7")
    spec = environment_spec(version, replace(version.deployment, id="served"), "host")
    assert (spec.key, spec.arn) == ("123456789012/eu-west-1/f/7/served", f"{ARN}:7")
    assert (spec.code, [layer.size for layer in spec.layers], spec.egress) == (ZIP.code, [2], "host")
    assert (spec.environment, spec.log_format, spec.system_log_level, spec.log_group) == ({}, "JSON", "WARN", "/mine")


def test_an_image_starts_as_the_function_says() -> None:
    override = ImageOverride(command=(), working_directory="/w")
    version = make_version(settings=replace(SETTINGS, image_override=override), package=Package(image=IMAGE))
    image = environment_spec(version, version.deployment, "none").image
    assert image is not None
    assert (image.entry_point, image.command, image.working_directory) == (("e",), (), "/w")
    plain = make_version(package=Package(image=IMAGE))
    assert environment_spec(plain, plain.deployment, "none").image is IMAGE


def test_an_alias_without_weights_is_its_version() -> None:
    alias = Alias(namespace=SPACE, function="f", name="live", version="1", revision_id="r")
    assert [alias.choose(draw) for draw in (0.0, 0.999)] == ["1", "1"]
    whole = replace(alias, weights={"2": 1.0})
    assert [whole.choose(draw) for draw in (0.0, 0.999)] == ["2", "2"]
    none = replace(alias, weights={"2": 0.0})
    assert none.choose(0.0) == "1"
