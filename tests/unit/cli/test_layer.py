"""`lambdad layer` end to end on a base that runs nothing: build, check, why, diff, split."""

from __future__ import annotations

import json

import pytest
from tests.unit.pack.bases import NotingRunner, make_base
from typer.testing import CliRunner

from lambdad.cli import layer as layer_module
from lambdad.cli.layer import app
from lambdad.pack.build import manifest_path

RECIPE = """
name = "{name}"
base = "./base"
[packages]
files = {{ "bin/{name}" = "tool.sh", "share/common" = "common" }}
[[stages]]
name = "only"
test = "{name}"
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(layer_module, "choose_runner", lambda: (NotingRunner(), "a note on the runner"))
    make_base(tmp_path / "base")
    (tmp_path / "tool.sh").write_text("#!/bin/sh\n")
    (tmp_path / "tool.sh").chmod(0o755)
    (tmp_path / "common").write_text("common")
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(RECIPE.format(name=name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return result.output


def build(name: str) -> str:
    return run("build", f"{name}.toml", "-o", f"{name}.zip")


def test_a_build_writes_zip_manifest_and_lock_and_says_what_it_made(work):
    output = build("one")
    assert "2 files, 0 links, 0 packages" in output and "sha256 " in output
    assert "note: a note on the runner" in output, "who is not root is told what the tests lack"
    assert (work / "one.zip").exists() and (work / "one.lock").exists()
    assert json.loads((work / "one.manifest.json").read_text())["name"] == "one"
    assert "from the cache: only" in build("one")


def test_a_locked_build_needs_its_lock(work):
    assert "is missing or not for this recipe" in run("build", "one.toml", "--locked", status=1).replace("\n", " ")
    build("one")
    run("build", "one.toml", "--locked", "-o", "one.zip")


def test_a_budget_that_is_exceeded_fails_the_build(work):
    text = (work / "one.toml").read_text()
    (work / "one.toml").write_text(f"budget = 3\n{text}")
    assert "over the recipe's budget" in run("build", "one.toml", "-o", "one.zip", status=1)


def test_a_plan_downloads_nothing_for_own_files(work):
    assert "0 packages, 0 bytes to download, on tiny" in run("plan", "one.toml")


def test_layers_are_checked_together_with_the_function(work):
    build("one")
    (work / "common").write_text("other")
    build("two")
    output = run("check", "one.zip", "two.zip", "--function", "one.zip", "--base", "./base")
    assert "two replaces what one has there" in output and "0 errors, 1 warnings" in output
    assert "function" in output
    assert "over the recipe's budget" in run("check", "one.zip", "--base", "./base", "--budget", "1 B", status=1)


def test_a_zip_that_is_not_the_manifests_is_refused(work):
    build("one")
    (work / "common").write_text("other")
    build("two")
    (work / "two.zip").replace(work / "one.zip")
    assert "is not what one.manifest.json describes" in run("check", "one.zip", status=1).replace("\n", " ")


def test_verify_runs_the_tests_of_the_recipe_or_those_that_are_given(work):
    build("one")
    assert "ok: only: one" in run("verify", "one.zip", "--base", "./base")
    assert "ok: test: other" in run("verify", "one.zip", "--test", "other", "--base", "./base")


def test_why_says_where_a_file_comes_from(work):
    build("one")
    assert "from own file" in run("why", "one.zip", "common", "--base", "./base")
    assert "nothing in one.zip is called x" in run("why", "one.zip", "x", status=1)


def test_a_difference_of_two_builds(work):
    build("one")
    build("two")
    output = run("diff", "one.zip", str(manifest_path(work / "two.zip")))
    assert "+ /opt/bin/two" in output and "- /opt/bin/one" in output
    assert "does not exist" in run("diff", "one.zip", "three.zip", status=1)


def test_own_files_are_no_package_so_there_is_nothing_to_split(work):
    build("one")
    build("two")
    output = run("split", "one.zip", "two.zip", "--shared", "s.zip", "-o", "out", status=1)
    assert "no package in common" in output


def test_packages_that_two_layers_have_are_split_off(work):
    for name in ("one", "two"):
        build(name)
        path = manifest_path(work / f"{name}.zip")
        table = json.loads(path.read_text())
        for entry in table["files"]:
            if entry[0] == "share/common":
                entry[5] = "apt:common"
        table["packages"] = [{"name": "apt:common", "version": "1", "size": 6, "wanted_by": ["common"]}]
        path.write_text(json.dumps(table))
    output = run("split", "one.zip", "two.zip", "--shared", "out/s.zip", "-o", "out")
    assert "6 bytes of 1 packages" in output
    assert "0 errors, 0 warnings" in run("check", "out/s.zip", "out/one.zip", "out/two.zip", "--base", "./base")
    assert "/opt/share/common" in run("why", "out/s.zip", "common", "--base", "./base")


def test_errors_of_a_recipe_are_shown(work):
    (work / "one.toml").write_text('nmae = "x"')
    assert "did you mean 'name'" in run("build", "one.toml", status=1)
    assert "No such file" in run("build", "none.toml", status=1)


def test_a_layer_for_another_processor_is_not_run(work, monkeypatch):
    build("one")
    monkeypatch.setattr(layer_module, "can_execute", lambda arch: False)
    output = run("verify", "one.zip", "--base", "./base", "--test", "true", status=1)
    assert "cannot execute x86_64 programs" in output
