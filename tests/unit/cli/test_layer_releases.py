"""`lambdad deploy --layers php-82@3`: the release's ARN where the function goes, or what there is instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.cli.errors import CliError
from lambdad.cli.layer_releases import FILE, is_release, resolve_releases
from lambdad.pack.releases import Placed, Release, dump_releases

REGION = "us-east-1"


def arn(region: str, version: int) -> str:
    return f"arn:aws:lambda:{region}:000000000000:layer:php-82:{version}"


def release(number: int, places: dict[str, int]) -> Release:
    published = {
        place: Placed("verified", version, arn(place.rpartition("/")[2], version)) for place, version in places.items()
    }
    return Release(
        number=number, arch="x86_64", content_digest="d", code_sha256=f"c{number}", size=1, unzipped=1, base="debian12",
        glibc="2.36", places=published,
    )  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    entries = (
        release(1, {REGION: 4}),
        release(2, {REGION: 7, "eu-west-1": 2}),
        release(3, {REGION: 8, "other/eu-west-1": 9}),
    )
    (tmp_path / FILE).write_text(dump_releases({"php-82": entries}))
    return tmp_path


@pytest.mark.parametrize(
    ("layer", "answer"),
    [
        ("php-82@3", True),
        ("php-82", False),
        ("./php@3", False),
        ("arn:aws:lambda:r:1:layer:x:1", False),
        ("a@b", False),
    ],
)
def test_a_release_is_told_from_arns_and_directories(layer: str, answer: bool) -> None:
    assert is_release(layer) is answer


def test_a_release_becomes_the_arn_of_the_region(directory: Path) -> None:
    layers = ["php-82@2", "arn:aws:lambda:eu-west-1:1:layer:x:1"]
    found = resolve_releases(layers, directory, "eu-west-1", "x86_64", {})
    assert found == [arn("eu-west-1", 2), layers[1]]


def test_the_account_of_the_profile_comes_first(directory: Path) -> None:
    found = resolve_releases(["php-82@3"], directory, "eu-west-1", "x86_64", {"AWS_PROFILE": "other"})
    assert found == [arn("eu-west-1", 9)]


def test_without_releases_no_file_is_needed(tmp_path: Path) -> None:
    assert resolve_releases(["arn:x", "dir"], tmp_path, "eu-west-1", "x86_64", {}) == ["arn:x", "dir"]


@pytest.mark.parametrize(
    ("layer", "region", "arch", "words"),
    [
        ("php-82@9", "us-east-1", "x86_64", "has no release 9; it has: 1, 2, 3"),
        ("php-82@1", "eu-west-1", "x86_64", "is not published in eu-west-1; it is in: us-east-1"),
        ("ruby@1", "us-east-1", "x86_64", "'ruby' was never published from here; known layers: php-82"),
        ("php-82@1", "us-east-1", "arm64", "has no release 1"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(
    directory: Path, layer: str, region: str, arch: str, words: str
) -> None:
    with pytest.raises(CliError, match=words):
        resolve_releases([layer], directory, region, arch, {})


def test_a_missing_file_is_named_with_the_command_that_writes_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CliError, match=r"no .*layers.lock.json.*lambdad layer publish"):
        resolve_releases(["php-82@1"], tmp_path / "function", "us-east-1", "x86_64", {})


def test_deploy_gives_the_function_the_arn(
    fake: Any, lambdad: Callable[..., tuple[int, str, str]], directory: Path
) -> None:
    (directory / "app.py").write_text("def handler(event, context):\n    return event\n")
    status, _, err = lambdad("deploy", str(directory), "--layers", "php-82@1")
    assert status == 0, err
    assert fake.parameters("CreateFunction")["Layers"] == [arn(REGION, 4)]
