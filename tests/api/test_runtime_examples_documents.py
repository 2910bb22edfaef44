"""examples/documents: a Python function with git, ImageMagick and Ghostscript in layers that share their closure."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.testing.deploying import Deployed, deploy
from lambdad.testing.example_layers import LayerFailed, obtain_split, published, why_no_layers
from lambdad.testing.examples import EXAMPLES

RECIPES = tuple(f"layers/{name}/layer.toml" for name in ("git", "imagemagick", "ghostscript"))


@pytest.fixture(scope="module")
def zips() -> tuple[Path, ...]:
    """What is shared, then git, ImageMagick and Ghostscript without it."""
    if reason := why_no_layers():
        pytest.skip(reason)
    try:
        return obtain_split("documents", RECIPES)
    except LayerFailed as error:
        if error.mirror:
            pytest.skip(f"the mirror or the disk failed: {error}")
        raise


@pytest.fixture(scope="module")
def function(lambda_client: Any, zips: tuple[Path, ...]) -> Iterator[Deployed]:
    source = (EXAMPLES / "documents" / "app.py").read_text()
    with (
        published(lambda_client, zips) as arns,
        deploy(lambda_client, {"app.py": source}, Layers=arns, MemorySize=1024, Timeout=120) as deployed,
    ):
        yield deployed


def test_what_layers_have_in_common_is_in_one_of_them_alone(zips: tuple[Path, ...]) -> None:
    shared, *rests = (set(_files(path)) for path in zips)
    assert any("libfreetype" in name for name in shared)
    assert all(shared.isdisjoint(rest) for rest in rests)


def test_the_git_layer_is_small_because_its_links_are_links(zips: tuple[Path, ...]) -> None:
    with zipfile.ZipFile(zips[1]) as archive:
        links = [entry for entry in archive.infolist() if (entry.external_attr >> 16) & 0o170000 == 0o120000]
        assert sum(entry.file_size for entry in archive.infolist()) <= 35 * 1024 * 1024
    assert len(links) > 100


def test_the_programs_are_those_of_the_layers(function: Deployed) -> None:
    about = function.invoke({"action": "about"}).value
    assert about["git"].startswith("git version 2.")
    assert about["exec_path"] == "/opt/lib/git-core"
    assert about["links"] > 100
    assert "ImageMagick" in about["convert"]


def test_a_function_commits_to_a_repository(function: Deployed) -> None:
    function.invoke({"action": "commit", "message": "first", "files": {"a.txt": "one\n", "b.txt": "two\n"}})
    outcome = function.invoke({"action": "commit", "message": "second", "files": {"a.txt": "three\n"}})
    assert [line.split(" ", 1)[1] for line in outcome.value["log"]] == ["second", "first"]
    assert "a.txt" in outcome.value["changed"] and "b.txt" not in outcome.value["changed"]


def test_a_function_makes_a_pdf_and_a_picture_of_it(function: Deployed) -> None:
    made = function.invoke({"action": "render", "text": "Hello (from) PostScript"}).value
    assert base64.b64decode(made["pdf"]).startswith(b"%PDF-")
    assert base64.b64decode(made["jpeg"]).startswith(b"\xff\xd8\xff")
    assert made["size"] == "JPEG 200"


def test_what_a_program_says_when_it_fails_is_the_error_of_the_function(function: Deployed) -> None:
    failed = function.invoke({"action": "commit", "message": "nothing has changed", "files": {}})
    if failed.error is None:  # the first commit of a fresh sandbox
        failed = function.invoke({"action": "commit", "message": "nothing has changed", "files": {}})
    assert failed.error == "Unhandled"
    assert "/opt/bin/git ended with 1" in failed.value["errorMessage"]


def _files(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [entry.filename for entry in archive.infolist() if not entry.is_dir()]
