"""`lambdad layer publish` before a real node, through a proxy that fails: one version per digest and region in the end.

Regions are namespaces of the signature, accounts those of the keys; boto3 is the client.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lambdad.pack.aws import BotoLayerService
from lambdad.pack.manifest import FileEntry, Manifest, content_digest, dump_manifest
from lambdad.pack.publish import Journal, Package, Publisher, State
from lambdad.testing.fault_proxy import OPERATIONS, Fault, FaultProxy, Kind, fault_proxy
from lambdad.testing.local_node import LocalNode

REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "ap-south-1", "sa-east-1")
TIMEOUT_S = 1.0
"""Of one answer. A node on a busy machine may take longer: then it is tried again, as after the timeouts on purpose."""
ATTEMPTS = 40


@pytest.fixture(scope="module")
def proxy(node: LocalNode) -> Iterator[FaultProxy]:
    with fault_proxy(node.port) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield


def layer_zip(content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("file"), content)
    return buffer.getvalue()


def make_package(directory: Path, name: str, principals: tuple[str, ...] = ("*", "111122223333")) -> Package:
    data = layer_zip(name)
    path = directory / f"{name}.zip"
    path.write_bytes(data)
    return Package(
        name=name,
        zip_path=path,
        size=len(data),
        code_sha256=base64.b64encode(hashlib.sha256(data).digest()).decode(),
        content_digest=hashlib.sha256(name.encode()).hexdigest(),
        description="a layer",
        licence="",
        runtimes=("provided.al2023",),
        arch="x86_64",
        principals=principals,
    )


Services = dict[str, BotoLayerService]


@pytest.fixture(scope="module")
def through_proxy(proxy: FaultProxy) -> Services:
    return {region: BotoLayerService(region, endpoint=proxy.endpoint, timeout_s=TIMEOUT_S) for region in REGIONS}


@pytest.fixture(scope="module")
def direct(node: LocalNode) -> Services:
    return {region: BotoLayerService(region, endpoint=node.endpoint) for region in REGIONS}


def publish(package: Package, services: Services, journal: Path) -> dict[str, Any]:
    return Publisher(
        package=package,
        services=services,
        journal=Journal(journal),
        clock=lambda: "2026-01-01T00:00:00+00:00",
        sleep=lambda seconds: None,
        jitter=lambda: 0.5,
        parallel=len(REGIONS),
        attempts=ATTEMPTS,
    ).run({})


def client(node: LocalNode, region: str, key: str = "test") -> Any:
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="test", region_name=region)
    return session.client("lambda", endpoint_url=node.endpoint)


PASSING = tuple(kind for kind in Kind if kind is not Kind.DENIED)


@pytest.mark.parametrize("turn", range(len(PASSING)))
def test_failures_that_pass_at_every_step_in_every_region_leave_one_version_each(
    proxy: FaultProxy, through_proxy: Services, direct: Services, tmp_path: Path, turn: int
) -> None:
    """Each step fails once in each region; in seven turns every step has failed in every way everywhere."""
    package = make_package(tmp_path, f"fault-{uuid.uuid4().hex[:12]}")
    faults = {
        region: [
            Fault(operation, 1, PASSING[(number + step + turn) % len(PASSING)])
            for step, operation in enumerate(OPERATIONS)
        ]
        for number, region in enumerate(REGIONS)
    }
    proxy.plan(faults)
    first = publish(package, through_proxy, tmp_path / "journal")
    assert set(proxy.struck) == {(region, fault) for region, those in faults.items() for fault in those}
    assert {placed.state for placed in first.values()} == {State.VERIFIED}, first
    for region in REGIONS:
        in_the_end = list(direct[region].versions(package.name))
        assert [one.number for one in in_the_end] == [1], (region, faults[region])
        assert direct[region].code_sha256(package.name, 1) == package.code_sha256
        assert direct[region].principals(package.name, 1) == {"*", "111122223333"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_stops_its_region_and_no_other_and_the_next_run_goes_on_there(
    proxy: FaultProxy, through_proxy: Services, direct: Services, tmp_path: Path, operation: str
) -> None:
    package = make_package(tmp_path, f"denied-{uuid.uuid4().hex[:12]}")
    denied = REGIONS[OPERATIONS.index(operation)]
    proxy.plan({denied: [Fault(operation, 1, Kind.DENIED)]})
    first = publish(package, through_proxy, tmp_path / "journal")
    assert {region for region, placed in first.items() if placed.state != State.VERIFIED} == {denied}
    assert "AccessDenied" in first[denied].error
    second = publish(package, direct, tmp_path / "journal")
    assert {placed.state for placed in second.values()} == {State.VERIFIED}
    assert [one.number for one in direct[denied].versions(package.name)] == [1]


def write_layer(directory: Path, name: str) -> Path:
    """A layer zip with its manifest, as `lambdad layer build` leaves them."""
    path = directory / f"{name}.zip"
    path.write_bytes(layer_zip(name))
    digest = hashlib.sha256(name.encode()).hexdigest()
    files = (FileEntry(path="file", kind="file", mode=0o644, size=len(name), digest=digest),)
    manifest = Manifest(
        name=name, arch="x86_64", base="d" * 64, base_name="debian12", glibc="2.36",
        content_digest=content_digest(files), files=files,
    )  # fmt: skip
    (directory / f"{name}.manifest.json").write_text(dump_manifest(manifest))
    return path


def command(directory: Path, *words: str, endpoint: str = "") -> list[str]:
    more = ["--endpoint", endpoint] if endpoint else []
    return [sys.executable, "-m", "lambdad", "layer", *words, *more, "--releases", str(directory / "layers.lock.json")]


def run(directory: Path, *words: str, endpoint: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(directory, *words, endpoint=endpoint), capture_output=True, text=True, timeout=120, check=False,
        cwd=directory, env={**os.environ, **environment},
    )  # fmt: skip


def test_killed_in_the_middle_and_run_again_it_goes_on_where_it_was(
    node: LocalNode, proxy: FaultProxy, tmp_path: Path
) -> None:
    """kill -9 when the service has done its part in the third region and nobody has been told."""
    name = f"killed-{uuid.uuid4().hex[:12]}"
    layer = write_layer(tmp_path, name)
    regions = [word for region in REGIONS for word in ("--region", region)]
    words = ("publish", str(layer), "--public", *regions)
    proxy.plan({})
    process = subprocess.Popen(
        command(tmp_path, *words, endpoint=proxy.endpoint), cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    proxy.on_call = lambda region, called: process.kill() if (region, called) == (REGIONS[2], "publish") else None
    try:
        assert process.wait(60) == -9
    finally:
        proxy.on_call = lambda region, called: None
    done = run(tmp_path, *words, endpoint=node.endpoint)
    assert done.returncode == 0, done.stderr
    for region in REGIONS:
        versions = client(node, region).list_layer_versions(LayerName=name)["LayerVersions"]
        assert [one["Version"] for one in versions] == [1], region
    resolved = run(tmp_path, "resolve", f"{name}@1", "--region", "sa-east-1")
    assert resolved.stdout.strip() == f"arn:aws:lambda:sa-east-1:000000000000:layer:{name}:1"


def test_accounts_are_profiles_and_a_region_that_is_added_later_is_filled_in(node: LocalNode, tmp_path: Path) -> None:
    profiles = "[one]\naws_access_key_id = 111111111111\naws_secret_access_key = x\n"
    profiles += "[two]\naws_access_key_id = 222222222222\naws_secret_access_key = x\n"
    (tmp_path / "credentials").write_text(profiles)
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_ACCESS_KEY_ID": ""}
    environment["AWS_SECRET_ACCESS_KEY"] = ""
    name = f"accounts-{uuid.uuid4().hex[:12]}"
    layer = write_layer(tmp_path, name)
    places = ("--region", "one/eu-west-1", "--region", "two/eu-west-1")
    words = ("publish", str(layer), "--account", "333333333333", *places)
    first = run(tmp_path, *words, endpoint=node.endpoint, **environment)
    assert first.returncode == 0, first.stderr
    added = run(tmp_path, *words, "--region", "two/sa-east-1", endpoint=node.endpoint, **environment)
    assert added.returncode == 0, added.stderr
    table = json.loads((tmp_path / "layers.lock.json").read_text())["layers"][name]
    assert [entry["release"] for entry in table] == [1], "the same build is the same release"
    arns = {place: one["arn"] for place, one in table[0]["published"].items()}
    assert arns == {
        "one/eu-west-1": f"arn:aws:lambda:eu-west-1:111111111111:layer:{name}:1",
        "two/eu-west-1": f"arn:aws:lambda:eu-west-1:222222222222:layer:{name}:1",
        "two/sa-east-1": f"arn:aws:lambda:sa-east-1:222222222222:layer:{name}:1",
    }
    user = client(node, "eu-west-1", "333333333333")
    assert user.get_layer_version_by_arn(Arn=arns["two/eu-west-1"])["Version"] == 1


def test_a_region_that_is_away_leaves_the_others_published_and_the_status_three(
    node: LocalNode, proxy, tmp_path
) -> None:
    name = f"away-{uuid.uuid4().hex[:12]}"
    layer = write_layer(tmp_path, name)
    proxy.plan({"eu-west-1": [Fault("versions", 1, Kind.DENIED)]})
    words = ("publish", str(layer), "--region", "us-east-1", "--region", "eu-west-1")
    done = run(tmp_path, *words, endpoint=proxy.endpoint)
    assert done.returncode == 3 and "AccessDenied" in done.stdout + done.stderr
    missing = run(tmp_path, "resolve", name, "--region", "eu-west-1")
    assert missing.returncode == 1 and "it is in: us-east-1" in " ".join(missing.stderr.split())
