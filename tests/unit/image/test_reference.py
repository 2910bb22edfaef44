"""Image names, and documents of images."""

from __future__ import annotations

import json

import pytest

from lambdad.image.errors import ImageNotFound, InvalidImage
from lambdad.image.oci import (
    ImageRuntimeConfig,
    Index,
    Manifest,
    Platform,
    check_platform,
    choose_platform,
    parse_config,
    parse_manifest,
)
from lambdad.image.reference import ImageReference, parse_digest, parse_reference
from lambdad.testing.image_blobs import make_image, make_index

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "repository", "pointer"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1", "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
         "team/app", "v1"),
        ("localhost:5000/app", "localhost:5000", "app", "latest"),
        ("127.0.0.1:5000/a/b__c@" + DIGEST, "127.0.0.1:5000", "a/b__c", DIGEST),
        ("[::1]:5000/app:x", "[::1]:5000", "app", "x"),
        ("python:3.12-slim", "docker.io", "library/python", "3.12-slim"),
        ("grafana/loki", "docker.io", "grafana/loki", "latest"),
        ("ghcr.io/o/r:tag@" + DIGEST, "ghcr.io", "o/r", DIGEST),
    ],
)  # fmt: skip
def test_a_name_is_read_as_docker_reads_it(text: str, registry: str, repository: str, pointer: str) -> None:
    found = parse_reference(text)
    assert (found.registry, found.repository, found.pointer) == (registry, repository, pointer)


@pytest.mark.parametrize(
    "text", ["", "UPPER", "a//b", "a/../b", "reg.io/", "reg.io/a:", "a:b:c", "a@sha256:12", "a b", "r.io/a\n", "-x"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage):
        parse_reference(text)


def test_a_pinned_reference_prints_as_a_resolved_uri() -> None:
    pinned = parse_reference("reg.example/app:v1").at(parse_digest(DIGEST))
    assert str(pinned) == f"reg.example/app@{DIGEST}"
    assert parse_reference(str(pinned)) == pinned == ImageReference("reg.example", "app", None, parse_digest(DIGEST))


@pytest.mark.parametrize("docker", [True, False])
@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_manifests_of_both_families_and_all_compressions_are_understood(docker: bool, compression: str) -> None:
    image = make_image([b"layer"], docker=docker, compression=compression)  # type: ignore[arg-type]
    found = parse_manifest(image.manifest, "")
    assert isinstance(found, Manifest)
    assert len(found.layers) == 1


def test_an_index_gives_the_image_of_the_platform_and_never_an_attestation() -> None:
    arm, amd = make_image([b"1"], architecture="arm64"), make_image([b"2"])
    index = parse_manifest(make_index([("unknown", amd), ("arm64", arm), ("amd64", amd)]).manifest, "")
    assert isinstance(index, Index)
    assert str(choose_platform(index, Platform("arm64")).digest) == arm.digest
    with pytest.raises(ImageNotFound, match="no variant for linux/s390x; it has linux/amd64, linux/arm64"):
        choose_platform(index, Platform("s390x"))


def test_the_config_gives_what_the_function_runs_and_image_config_overrides_it() -> None:
    inner = {"Entrypoint": ["/lambda-entrypoint.sh"], "Cmd": ["app.handler"], "WorkingDir": "/var/task", "User": "1000",
             "Env": ["PATH=/bin", "A=b=c", "EMPTY="]}  # fmt: skip
    document = {"architecture": "amd64", "os": "linux", "config": inner, "rootfs": {"diff_ids": [DIGEST]}}
    config = parse_config(json.dumps(document).encode())
    assert config.runtime == ImageRuntimeConfig(
        entry_point=("/lambda-entrypoint.sh",),
        command=("app.handler",),
        working_dir="/var/task",
        env={"PATH": "/bin", "A": "b=c", "EMPTY": ""},
        user="1000",
    )
    changed = config.runtime.overridden(None, ["other.handler"], "/x")
    assert (changed.entry_point, changed.command, changed.working_dir) == (
        ("/lambda-entrypoint.sh",),
        ("other.handler",),
        "/x",
    )
    assert config.runtime.overridden(["/boot"], None, None).command == ()
    with pytest.raises(InvalidImage, match="is for linux/amd64, the function is for linux/arm64"):
        check_platform(config, Platform("arm64"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"schemaVersion": 1, "layers": []}',
        b'{"mediaType": "text/html"}',
        b'{"layers": [], "config": {"digest": "sha256:00", "size": 1}}',
        b'{"layers": [], "config": {"digest": "' + DIGEST.encode() + b'", "size": -1}}',
        b'{"layers": {}, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "'
        + DIGEST.encode()
        + b'", "size": 1}}',
        b'{"layers": [], "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "'
        + DIGEST.encode()
        + b'", "size": 1}}',
    ],
)
def test_a_damaged_or_foreign_manifest_is_an_invalid_image(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        parse_manifest(data, "application/vnd.oci.image.manifest.v1+json" if b"layers" in data else "")
