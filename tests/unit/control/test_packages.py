"""Code on its way in: from the request, from S3, from a registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lambdad.control.interface import Quotas
from lambdad.model.environment import Image
from lambdad.model.errors import invalid_parameter
from lambdad.testing.control_plane import Plane, make_zip, new_function, with_plane

S3: dict[str, Any] = {"S3Bucket": "bucket", "S3Key": "key"}


class OneObject:
    """An S3 store that holds one object."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[str, str, str | None]] = []

    async def fetch(self, bucket: str, key: str, version: str | None) -> bytes:
        self.asked.append((bucket, key, version))
        if key != "key":
            raise invalid_parameter(
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
                "S3 Error Message: The specified key does not exist."
            )
        return self.data


class OneImage:
    """A builder that knows every image."""

    async def build(self, uri: str, owner: str, architecture: str, progress: Callable[[str], None]) -> Image:
        digest = "ab" * 32
        return Image(uri=uri, resolved_uri=f"registry/f@sha256:{digest}", manifest_sha256="00" * 32)


async def refusal(plane: Plane, code: dict[str, Any]) -> tuple[str, int, str]:
    return await plane.fails("CreateFunction", **new_function("g", Code=code))


@with_plane()
async def test_a_zip_lies_in_the_blob_store_under_its_digest(plane: Plane) -> None:
    await plane.create()
    spec = plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec
    assert spec.code is not None
    assert plane.blobs.get(spec.code.sha256) == make_zip()


@with_plane()
async def test_code_comes_from_one_source(plane: Plane) -> None:
    assert (await refusal(plane, {}))[2] == "Please provide a source for function code."
    assert (await refusal(plane, {"S3Bucket": "bucket"}))[2] == "Please provide a source for function code."
    assert (await refusal(plane, S3 | {"ZipFile": make_zip()}))[2] == (
        "Please do not provide other FunctionCode parameters when providing a ZipFile."
    )


@with_plane()
async def test_what_is_no_zip_is_refused_with_awss_words(plane: Plane) -> None:
    unreadable = (
        "InvalidParameterValueException",
        400,
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    )
    assert await refusal(plane, {"ZipFile": b"no zip"}) == unreadable
    assert await refusal(plane, {"ZipFile": b""}) == unreadable
    empty = b"PK\x05\x06" + bytes(18)
    assert (await refusal(plane, {"ZipFile": empty}))[2] == "Uploaded file must be a non-empty zip"


@with_plane(quotas=Quotas(unzipped=100))
async def test_a_package_has_a_size_unzipped(plane: Plane) -> None:
    assert await refusal(plane, {"ZipFile": make_zip({"a": "x" * 101})}) == (
        "InvalidParameterValueException",
        400,
        "Unzipped size must be smaller than 100 bytes",
    )


@with_plane(quotas=Quotas(zipped=20), s3=OneObject(make_zip()))
async def test_a_direct_upload_has_a_size_zipped_and_an_object_in_s3_has_none(plane: Plane) -> None:
    assert await refusal(plane, {"ZipFile": make_zip()}) == (
        "RequestEntityTooLargeException",
        413,
        "Zipped size must be smaller than 20 bytes",
    )
    await plane.create(Code=S3)


OBJECT = OneObject(make_zip())


@with_plane(s3=OBJECT)
async def test_code_comes_from_s3_with_its_version(plane: Plane) -> None:
    created = await plane.create(Code=S3 | {"S3ObjectVersion": "v"})
    assert created["CodeSize"] == len(OBJECT.data)
    assert OBJECT.asked == [("bucket", "key", "v")]
    assert (await refusal(plane, S3 | {"S3Key": "none"}))[2].startswith("Error occurred while GetObject.")


@with_plane()
async def test_a_node_without_an_object_store_says_so(plane: Plane) -> None:
    assert "no object store" in (await refusal(plane, S3))[2]


@with_plane()
async def test_a_node_without_images_says_so(plane: Plane) -> None:
    image = new_function(PackageType="Image", Code={"ImageUri": "registry/f:1"}, Runtime=None, Handler=None)
    code, status, text = await plane.fails("CreateFunction", **image)
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "does not run container images yet" in text


@with_plane(images=OneImage())
async def test_an_image_is_resolved_and_shown(plane: Plane) -> None:
    image = {"PackageType": "Image", "Code": {"ImageUri": "registry/f:1"}, "Runtime": None, "Handler": None}
    created = await plane.create(**image, ImageConfig={"Command": ["app.handler"]})
    assert (created["PackageType"], created["CodeSize"], created["CodeSha256"]) == ("Image", 0, "")
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["CodeSha256"]) == ("Active", "ab" * 32)
    assert (await plane.call("GetFunction", FunctionName="f"))["Code"] == {
        "RepositoryType": "ECR",
        "ImageUri": "registry/f:1",
        "ResolvedImageUri": f"registry/f@sha256:{'ab' * 32}",
    }
    spec = plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec
    assert spec.image is not None
    assert spec.image.command == ("app.handler",)
    assert (await plane.fails("UpdateFunctionCode", FunctionName="f", ZipFile=make_zip()))[2] == (
        "Please provide ImageUri when updating a function with packageType Image."
    )
    await plane.call("UpdateFunctionCode", FunctionName="f", ImageUri="registry/f:2")
