"""Builds without a network: stages in order, tested, cached by what goes in; the same bytes each time."""

from __future__ import annotations

import pytest
from tests.unit.pack.bases import NotingProgress, NotingRunner, make_base

from lambdad.pack.build import (
    Builder,
    environment_of,
    find_base,
    manifest_path,
    npm_names,
    plain_names,
    stage_pins,
    wanted_digest,
    write_layer,
)
from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.lock import Lock, Pin, dump_lock
from lambdad.pack.manifest import file_digest
from lambdad.pack.recipe import Packages, parse_recipe
from lambdad.pack.target import ARM64, X86_64

TWO_STAGES = """
name = "tools"
[environment]
MODE = "x"
[[stages]]
name = "first"
files = { "bin/a" = "a.sh" }
test = "a"
[[stages]]
name = "second"
files = { "share" = "data" }
test = "a --data"
"""


@pytest.fixture
def directory(tmp_path):
    source = tmp_path / "recipe"
    (source / "data").mkdir(parents=True)
    (source / "a.sh").write_text("#!/bin/sh\n")
    (source / "a.sh").chmod(0o755)
    (source / "data/one").write_text("1")
    (source / "data/link").symlink_to("one")
    return source


@pytest.fixture
def make(tmp_path, directory):
    base = make_base(tmp_path / "base")

    def build(text=TWO_STAGES, runner=None, cache="cache"):
        return Builder(
            parse_recipe(text), directory, base, Cache(tmp_path / cache), runner or NotingRunner(), NotingProgress()
        )

    return build


def test_stages_are_tested_in_order_and_the_last_is_the_layer(make):
    runner = NotingRunner()
    builder = make(runner=runner)
    built = builder.build(builder.resolve())
    assert runner.commands == ["a", "a --data"]
    assert [entry.path for entry in built.manifest.files] == ["bin", "bin/a", "share", "share/link", "share/one"]
    assert built.manifest.tests == (("first", "a"), ("second", "a --data"))
    assert environment_of(built.manifest)["MODE"] == "x"


def test_a_failing_test_stops_before_the_next_stage_and_shows_its_output(make):
    runner = NotingRunner({"a": 3})
    builder = make(runner=runner)
    with pytest.raises(PackError, match=r"stage first: the test ended with status 3: a\noutput of a"):
        builder.build(builder.resolve())
    assert runner.commands == ["a"]


def test_a_second_build_comes_from_the_cache_and_tests_nothing(make):
    builder = make()
    builder.build(builder.resolve())
    runner = NotingRunner()
    again = make(runner=runner)
    built = again.build(again.resolve())
    assert built.reused == ("first", "second") and runner.commands == []


def test_a_stage_whose_test_failed_is_tested_again(make):
    builder = make(runner=NotingRunner({"a": 1}))
    with pytest.raises(PackError):
        builder.build(builder.resolve())
    runner = NotingRunner()
    again = make(runner=runner)
    again.build(again.resolve())
    assert runner.commands == ["a", "a --data"]


def test_a_changed_file_changes_the_stages_that_have_it(make, directory):
    builder = make()
    builder.build(builder.resolve())
    (directory / "data/one").write_text("2")
    again = make()
    assert again.build(again.resolve()).reused == ("first",)


def test_two_builds_from_nothing_have_the_same_bytes(make, tmp_path):
    digests = set()
    for cache in ("one", "two"):
        builder = make(cache=cache)
        output = tmp_path / cache / "out" / "tools.zip"
        write_layer(builder.build(builder.resolve()), output, tmp_path / cache / "layer.lock")
        digests.add((file_digest(output), manifest_path(output).read_text()))
    assert len(digests) == 1


def test_a_lock_is_used_only_for_the_same_recipe_base_and_architecture(make, tmp_path):
    builder = make()
    lock = builder.resolve()
    path = tmp_path / "layer.lock"
    assert builder.usable_lock(path) is None
    path.write_text(dump_lock(lock))
    assert builder.usable_lock(path) == lock
    path.write_text(dump_lock(Lock(base="other", arch=lock.arch, wanted=lock.wanted, pins=())))
    assert builder.usable_lock(path) is None
    path.write_text("{")
    with pytest.raises(PackError, match="--update"):
        builder.usable_lock(path)


def test_pruning_removes_what_globs_name_and_says_which_name_nothing(make):
    builder = make(TWO_STAGES.replace("[environment]", "[prune]\nremove = ['share/o*', 'nope/*']\n[environment]"))
    manifest = builder.build(builder.resolve()).manifest
    assert "share/one" not in [entry.path for entry in manifest.files]
    assert "prune.remove: nope/* matches nothing" in manifest.notes
    assert any("1 links that lead nowhere" in note for note in manifest.notes)


def test_a_file_that_does_not_exist_is_named(make):
    builder = make(TWO_STAGES.replace("a.sh", "b.sh"))
    with pytest.raises(PackError, match=r"b\.sh does not exist"):
        builder.build(builder.resolve())


def test_what_a_recipe_wants_is_named_without_versions():
    assert plain_names(("git=1:2", "Requests[socks]>=2", "a_b")) == ("git", "requests", "a-b")
    assert npm_names(("left-pad@1", "@scope/x@2", "@scope/y")) == ("left-pad", "@scope/x", "@scope/y")
    assert wanted_digest(Packages(apt=("a",))) != wanted_digest(Packages(pip=("a",)))


def test_a_stage_has_only_the_packages_that_it_needs():
    pins = (
        Pin(source="apt", name="php-cli", version="1", depends=("libxml",)),
        Pin(source="apt", name="libxml", version="1"),
        Pin(source="apt", name="php-gd", version="1"),
        Pin(source="pip", name="x", version="1"),
    )
    lock = Lock(base="b", arch="x86_64", wanted="w", pins=pins)
    assert [pin.name for pin in stage_pins(lock, Packages(apt=("php-cli",)))] == ["libxml", "php-cli"]
    assert [pin.name for pin in stage_pins(lock, Packages(pip=("x",)))] == ["x"]
    assert stage_pins(lock, Packages(apt=("curl",)), {"curl"}) == ()
    assert len(stage_pins(lock, Packages(apt=("php-virtual",)), {"curl"})) == 3


def test_a_base_beside_the_recipe_is_found_and_must_have_the_architecture(tmp_path):
    make_base(tmp_path / "bases/mine")
    cache = Cache(tmp_path / "cache")
    assert find_base("bases/mine", tmp_path, X86_64, cache, NotingProgress()).name == "tiny"
    with pytest.raises(PackError, match="is for x86_64"):
        find_base("bases/mine", tmp_path, ARM64, cache, NotingProgress())
    with pytest.raises(PackError, match="unknown base 'debain'"):
        find_base("debain", tmp_path, X86_64, cache, NotingProgress())
    with pytest.raises(PackError, match="lambdad base build"):
        find_base("./none", tmp_path, X86_64, cache, NotingProgress())
