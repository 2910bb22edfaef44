"""A base as an OCI layout: complete, and the same each time."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

import pytest
from tests.unit.pack.bases import make_base

from lambdad.pack.errors import PackError
from lambdad.pack.oci import write_oci


def blob(directory, digest: str) -> bytes:
    data = (directory / "blobs" / digest.replace(":", "/")).read_bytes()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


def test_every_blob_has_its_digest_and_the_layer_has_the_files(tmp_path):
    base = make_base(tmp_path / "base")
    digest = write_oci(base, tmp_path / "oci")
    index = json.loads((tmp_path / "oci/index.json").read_text())
    assert index["manifests"][0]["digest"] == digest
    manifest = json.loads(blob(tmp_path / "oci", digest))
    config = json.loads(blob(tmp_path / "oci", manifest["config"]["digest"]))
    layer = gzip.decompress(blob(tmp_path / "oci", manifest["layers"][0]["digest"]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["architecture"] == "amd64" and config["config"]["User"] == "sbx_user1051"
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert {"bin", "usr/bin/sh", "opt"} <= set(tar.getnames())
        assert {member.mtime for member in tar} == {0}


def test_two_writings_are_the_same(tmp_path):
    base = make_base(tmp_path / "base")
    assert write_oci(base, tmp_path / "a") == write_oci(base, tmp_path / "b")


def test_an_existing_directory_is_left_alone(tmp_path):
    with pytest.raises(PackError, match="already exists"):
        write_oci(make_base(tmp_path / "base"), tmp_path)
