"""Every example has what its table says, and what a test of it is made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.pack.recipe import parse_recipe
from lambdad.testing.examples import BUILDS, EXAMPLES, BuildFailed, Example, build_conformance, build_example


@pytest.mark.parametrize("language", BUILDS)
def test_an_example_has_a_readme_a_conformance_function_and_its_recipes(language: str) -> None:
    directory = EXAMPLES / f"hello-{language}"
    assert (directory / "README.md").read_text().startswith("# ")
    assert any((directory / "conformance").iterdir())
    for recipe in BUILDS[language].layers:
        assert parse_recipe((EXAMPLES / recipe).read_text()).name


@pytest.mark.parametrize("language", [name for name, example in BUILDS.items() if not example.build])
def test_an_example_that_is_not_built_has_its_bootstrap(language: str) -> None:
    layers = [EXAMPLES / recipe for recipe in BUILDS[language].layers]
    found = [EXAMPLES / f"hello-{language}" / "bootstrap"]
    for recipe in layers:
        files = parse_recipe(recipe.read_text()).everything.files
        found += [recipe.parent / source for target, source in files.items() if target == "bootstrap"]
    assert any(path.is_file() and os.access(path, os.X_OK) for path in found)


def test_the_conformance_function_replaces_that_of_the_example(tmp_path: Path) -> None:
    build_example("perl", tmp_path / "plain")
    build_conformance("perl", tmp_path / "proven")

    assert (tmp_path / "plain/bootstrap").read_bytes() == (tmp_path / "proven/bootstrap").read_bytes()
    assert "conformance" in (tmp_path / "proven/function.pl").read_text()
    assert not (tmp_path / "plain/conformance").exists()


def test_a_build_that_fails_says_what_the_tool_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Example(tool="sh", build=("sh", "-c", "echo no such module >&2; exit 3"))
    monkeypatch.setattr("lambdad.testing.examples.BUILDS", {"perl": broken})

    with pytest.raises(BuildFailed, match="no such module"):
        build_example("perl", tmp_path / "task")
