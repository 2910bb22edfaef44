"""Packages from an object store, against a local S3."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from lambdad.model.errors import ApiError
from lambdad.store.s3 import S3Packages, S3Settings

SETTINGS = S3Settings(region="us-east-1", access_key="key", secret_key="secret")


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def versions() -> Iterator[list[str]]:
    """A bucket with two versions of one object; their version ids."""
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
        s3.create_bucket(Bucket="bucket")
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        yield [s3.put_object(Bucket="bucket", Key="code.zip", Body=body)["VersionId"] for body in (b"old", b"new")]


def fetch(packages: S3Packages, bucket: str = "bucket", key: str = "code.zip", version: str | None = None) -> bytes:
    return asyncio.run(packages.fetch(bucket, key, version))


def test_an_object_is_read_in_the_version_asked_for(executor: ThreadPoolExecutor, versions: list[str]) -> None:
    packages = S3Packages(SETTINGS, executor)
    assert fetch(packages) == b"new"
    assert fetch(packages, version=versions[0]) == b"old"


def test_a_missing_object_or_bucket_has_awss_text(executor: ThreadPoolExecutor, versions: list[str]) -> None:
    packages = S3Packages(SETTINGS, executor)
    for bucket, key, text in (
        ("bucket", "none", "S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."),
        ("none", "code.zip", "S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist"),
    ):
        with pytest.raises(ApiError) as caught:
            fetch(packages, bucket, key)
        assert (caught.value.code, caught.value.message) == (
            "InvalidParameterValueException",
            f"Error occurred while GetObject. {text}",
        )


def test_an_object_that_is_too_large_is_not_read(executor: ThreadPoolExecutor, versions: list[str]) -> None:
    with pytest.raises(ApiError, match="Unzipped size must be smaller than 2 bytes"):
        fetch(S3Packages(SETTINGS, executor, size_max=2))


def test_a_store_that_does_not_answer_is_named(executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def get_object(self, **_: object) -> None:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(boto3, "client", lambda *_, **__: Down())
    with pytest.raises(ApiError, match=r"cannot be reached: .*http://127\.0\.0\.1:1"):
        fetch(S3Packages(SETTINGS, executor))
