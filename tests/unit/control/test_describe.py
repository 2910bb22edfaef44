"""Records as AWS's JSON."""

from __future__ import annotations

from lambdad.control.describe import describe_listed, describe_version, iso_time, seconds, timestamp
from lambdad.model.arn import Namespace
from lambdad.model.environment import Image
from lambdad.model.function import Deployment, FunctionVersion, ImageOverride, Logging, Package, Settings, Status

DIGEST = "ab" * 32


def image_version() -> FunctionVersion:
    settings = Settings(
        role="arn:aws:iam::123456789012:role/r",
        timeout_s=3,
        memory_mb=128,
        ephemeral_mb=512,
        logging=Logging(log_group="/aws/lambda/f"),
        image_override=ImageOverride(command=("a", "b")),
    )
    image = Image(uri="registry/f:1", resolved_uri=f"registry/f@sha256:{DIGEST}", manifest_sha256="00" * 32)
    deployment = Deployment(id="d", settings=settings, package=Package(image=image))
    return FunctionVersion(
        namespace=Namespace("123456789012", "eu-west-1"),
        name="f",
        version="$LATEST",
        deployment=deployment,
        revision_id="r",
        last_modified=0.0,
        state=Status(value="Active"),
        last_update=Status(value="Successful"),
    )


def test_times_are_written_as_each_resource_has_them() -> None:
    assert timestamp(1.5) == "1970-01-01T00:00:01.500+0000"
    assert timestamp(1_700_000_000.9999) == "2023-11-14T22:13:20.999+0000"
    assert seconds(1.5) == "1970-01-01T00:00:01+0000"
    assert iso_time(1.5) == "1970-01-01T00:00:01.500000Z"


def test_an_image_has_neither_runtime_nor_size_but_the_digest_that_its_tag_had() -> None:
    shape = describe_version(image_version(), None)
    assert (shape["PackageType"], shape["CodeSize"], shape["CodeSha256"]) == ("Image", 0, DIGEST)
    assert shape["ImageConfigResponse"] == {"ImageConfig": {"Command": ["a", "b"]}}
    assert not {"Runtime", "Handler", "RuntimeVersionConfig"} & shape.keys()


def test_lists_leave_out_what_aws_leaves_out() -> None:
    whole, listed = describe_version(image_version(), "1"), describe_listed(image_version(), "1")
    assert whole.keys() - listed.keys() == {"State", "LastUpdateStatus"}
