"""The boto3 side of publishing: pages, policies, and which errors are worth another try."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import NoCredentialsError, ReadTimeoutError
from botocore.stub import Stubber

from lambdad.model.limits import ZIP_MAX
from lambdad.pack.aws import BotoLayerService, policy_principals
from lambdad.pack.publish import Package, Refused, Retryable

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:php:"


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    return BotoLayerService("eu-west-1", bucket="layers-{region}")


@pytest.fixture
def stub(service):
    with Stubber(service._lambda) as stubber:
        yield stubber


def package(path: Path, size: int = 3) -> Package:
    return Package(
        name="php", zip_path=path, size=size, code_sha256="c", content_digest="d" * 64, description="", licence="MIT",
        runtimes=("provided.al2023",), arch="arm64", principals=("*",),
    )  # fmt: skip


def test_all_pages_of_versions_are_read(service, stub):
    first = {"LayerVersions": [{"Version": 2, "LayerVersionArn": ARN + "2"}], "NextMarker": "m"}
    second = {"LayerVersions": [{"Version": 1, "LayerVersionArn": ARN + "1", "Description": "sha256:x"}]}
    stub.add_response("list_layer_versions", first, {"LayerName": "php"})
    stub.add_response("list_layer_versions", second, {"LayerName": "php", "Marker": "m"})
    assert [(one.number, one.description) for one in service.versions("php")] == [(2, ""), (1, "sha256:x")]


def test_a_zip_is_published_with_its_digest_in_the_description(service, stub, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"zip")
    wanted = {
        "LayerName": "php",
        "Description": f"sha256:{'d' * 16}",
        "Content": {"ZipFile": b"zip"},
        "CompatibleArchitectures": ["arm64"],
        "CompatibleRuntimes": ["provided.al2023"],
        "LicenseInfo": "MIT",
    }
    stub.add_response("publish_layer_version", {"Version": 7, "LayerVersionArn": ARN + "7"}, wanted)
    assert service.publish(package(tmp_path / "x.zip")).number == 7


def test_a_large_zip_goes_through_the_regions_own_bucket(service, stub, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"zip")
    key = f"layers/php/{'d' * 64}.zip"
    stub.add_response("publish_layer_version", {"Version": 1, "LayerVersionArn": ARN + "1"})
    with Stubber(service._s3) as bucket:
        bucket.add_response("put_object", {})
        service.publish(package(tmp_path / "x.zip", ZIP_MAX + 1))
        bucket.assert_no_pending_responses()
    assert service._content(package(tmp_path / "x.zip"))["ZipFile"] == b"zip"
    assert service._bucket == "layers-eu-west-1" and key.endswith(".zip")


def test_a_large_zip_without_a_bucket_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(Refused, match="--bucket"):
        BotoLayerService("eu-west-1").publish(package(tmp_path / "x.zip", ZIP_MAX + 1))


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("TooManyRequestsException", 429, Retryable),
        ("ServiceException", 500, Retryable),
        ("AnythingElse", 503, Retryable),
        ("AccessDeniedException", 403, Refused),
        ("InvalidParameterValueException", 400, Refused),
        ("ResourceNotFoundException", 404, Refused),
    ],
)
def test_which_answers_are_worth_another_try(service, stub, code, status, kind):
    stub.add_client_error("get_layer_version", code, http_status_code=status)
    with pytest.raises(kind, match=code):
        service.code_sha256("php", 1)


@pytest.mark.parametrize(
    ("error", "kind"), [(ReadTimeoutError(endpoint_url="x"), Retryable), (NoCredentialsError(), Refused)]
)
def test_a_lost_answer_is_retried_and_missing_credentials_are_not(service, monkeypatch, error, kind):
    def fail(**_):
        raise error

    monkeypatch.setattr(service._lambda, "get_layer_version", fail)
    monkeypatch.setattr(service._lambda, "get_layer_version_policy", fail)
    with pytest.raises(kind):
        service.code_sha256("php", 1)
    with pytest.raises(kind):
        service.principals("php", 1)


def test_no_policy_means_nobody(service, stub):
    stub.add_client_error("get_layer_version_policy", "ResourceNotFoundException", http_status_code=404)
    assert service.principals("php", 1) == frozenset()


def test_a_permission_that_exists_is_no_error(service, stub):
    stub.add_client_error("add_layer_version_permission", "ResourceConflictException", http_status_code=409)
    service.permit("php", 1, "*")
    stub.add_client_error("add_layer_version_permission", "AccessDeniedException", http_status_code=403)
    with pytest.raises(Refused):
        service.permit("php", 1, "*")


def test_principals_are_read_from_every_shape_of_a_policy():
    policy = {
        "Statement": [
            {"Principal": "*"},
            {"Principal": {"AWS": "arn:aws:iam::111122223333:root"}},
            {"Principal": {"AWS": ["444455556666"]}},
        ]
    }
    assert policy_principals(json.dumps(policy)) == {"*", "111122223333", "444455556666"}
    assert policy_principals("{") == frozenset()
