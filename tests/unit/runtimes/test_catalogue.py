"""What this host offers: the newest of each, and what to do about the rest."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from lambdad.runtimes import catalogue as module
from lambdad.runtimes.catalogue import Catalogue, discover, explain_missing, make_tree
from lambdad.runtimes.runtime import (
    JavaRuntime,
    NodeRuntime,
    ProvidedRuntime,
    PythonRuntime,
    RubyRuntime,
    Runtime,
    RuntimeMissing,
)
from lambdad.runtimes.search import SearchPlaces
from lambdad.runtimes.tree_cache import TreeError


def _python(folder: Path, version: str, minor: str | None = None) -> str:
    """A program that says it is CPython."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"python{minor or '.'.join(version.split('.')[:2])}"
    answer = {
        "implementation": "cpython",
        "version": version,
        "final": True,
        "executable": str(path),
        "prefix": str(folder.parent),
        "soabi": "cpython-312-x86_64-linux-gnu",
        "free_threaded": False,
    }
    path.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    path.chmod(0o755)
    return str(path)


def _node(folder: Path, version: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "node"
    answer = {"version": version, "executable": str(path), "final": True}
    path.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    path.chmod(0o755)
    return str(path)


def _ruby(folder: Path, version: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ruby"
    answer = {
        "version": version,
        "engine": "ruby",
        "executable": str(path),
        "prefix": str(folder.parent),
        "final": True,
    }
    path.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    path.chmod(0o755)
    return str(path)


def _java(home: Path, version: str) -> None:
    (home / "bin").mkdir(parents=True)
    path = home / "bin" / "java"
    path.write_text(f"#!/bin/sh\necho '    java.home = {home}'\necho '    java.version = {version}'\n")
    path.chmod(0o755)


def _discover(tmp_path: Path, *folders: str) -> Catalogue:
    places = SearchPlaces(path=tuple(str(tmp_path / folder) for folder in folders), homes=())
    return discover(tmp_path / "cache", places)


def test_the_nearest_version_stands_in_if_that_is_wanted(tmp_path: Path) -> None:
    _python(tmp_path / "bin", "3.12.9")
    places = SearchPlaces(path=(str(tmp_path / "bin"),), homes=())
    nearest = discover(tmp_path / "cache", places, "nearest")
    assert nearest.get("python3.13").identifier == "python3.12"
    assert nearest.check("python3.9") is None
    assert nearest.identifiers()[0] == "python3.12"
    assert "needs Node.js 22" in str(nearest.check("nodejs22.x"))
    exact = discover(tmp_path / "cache", places, "exact")
    assert "needs CPython 3.13" in str(exact.check("python3.13"))
    with pytest.raises(RuntimeMissing):
        exact.get("python3.13")


def test_the_newest_patch_of_each_minor_wins(tmp_path: Path) -> None:
    _python(tmp_path / "a" / "bin", "3.12.9")
    _python(tmp_path / "b" / "bin", "3.12.10")
    _python(tmp_path / "b" / "bin", "3.9.1")
    catalogue = _discover(tmp_path, "a/bin", "b/bin")
    assert catalogue.identifiers() == ("python3.9", "python3.12", "provided", "provided.al2", "provided.al2023")
    found = catalogue.get("python3.12")
    assert isinstance(found, PythonRuntime)
    assert (found.version, found.prefix) == ("3.12.10", str(tmp_path / "b"))
    assert found.runtime_dir.startswith(f"{tmp_path}/cache/runtimes/python3.12-")


def test_a_program_with_a_wrong_name_does_not_count(tmp_path: Path) -> None:
    _python(tmp_path / "bin", "3.11.1", minor="3.12")
    assert "python3.12" not in _discover(tmp_path, "bin").identifiers()


def test_even_releases_of_node_from_18_on_count(tmp_path: Path) -> None:
    for name, version in (("a", "16.1.0"), ("b", "20.1.0"), ("c", "20.2.0"), ("d", "21.0.0"), ("e", "22.0.0")):
        _node(tmp_path / name / "bin", version)
    catalogue = _discover(tmp_path, *(f"{name}/bin" for name in "abcde"))
    assert catalogue.identifiers()[:2] == ("nodejs20.x", "nodejs22.x")
    found = catalogue.get("nodejs20.x")
    assert isinstance(found, NodeRuntime) and found.version == "20.2.0"


def test_the_newest_ruby_of_each_series_counts_from_3_1_on(tmp_path: Path) -> None:
    for name, version in (("a", "2.7.8"), ("b", "3.1.2"), ("c", "3.3.1"), ("d", "3.3.6")):
        _ruby(tmp_path / name / "bin", version)
    catalogue = _discover(tmp_path, *(f"{name}/bin" for name in "abcd"))
    assert catalogue.identifiers()[:2] == ("ruby3.1", "ruby3.3")
    found = catalogue.get("ruby3.3")
    assert isinstance(found, RubyRuntime)
    assert (found.version, found.abi) == ("3.3.6", "3.3.0")
    make_tree(found)
    assert "LambdadRuntime" in (Path(found.runtime_dir) / "bootstrap.rb").read_text()


def test_the_newest_java_of_each_major_counts_from_11_on(tmp_path: Path) -> None:
    for name, version in (("a", "1.8.0_392"), ("b", "17.0.2"), ("c", "17.0.10"), ("d", "25")):
        _java(tmp_path / name, version)
    catalogue = _discover(tmp_path, *(f"{name}/bin" for name in "abcd"))
    assert catalogue.identifiers()[:2] == ("java17", "java25")
    found = catalogue.get("java17")
    assert isinstance(found, JavaRuntime)
    assert (found.version, found.prefix) == ("17.0.10", str(tmp_path / "c"))


def test_this_host_offers_at_least_the_python_that_runs_lambdad(catalogue: Catalogue) -> None:
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = catalogue.get(f"python{minor}")
    assert found in catalogue.pythons()
    assert isinstance(found, PythonRuntime)
    assert Path(found.interpreter).is_file() and not Path(found.interpreter).is_symlink()


def test_a_missing_runtime_says_how_to_get_it(tmp_path: Path) -> None:
    catalogue = _discover(tmp_path)
    with pytest.raises(RuntimeMissing, match=r"`uv python install 3\.12`.* then restart lambdad"):
        catalogue.get("python3.12")
    assert catalogue.check("provided") is None
    assert "`nvm install 22`" in (catalogue.check("nodejs22.x") or "")
    assert "`rbenv install 3.4`" in (catalogue.check("ruby3.4") or "")
    assert "needs a JDK 21" in (catalogue.check("java21") or "")
    for identifier in ("dotnet8", "python3.8", "nodejs16.x", "python3.99", "nonsense\n"):
        assert "as `provided.al2023` with an executable named `bootstrap`" in explain_missing(identifier, ())


def test_ensure_makes_a_tree_once_for_all_who_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Runtime] = []
    monkeypatch.setattr(module, "make_tree", made.append)
    catalogue = Catalogue([ProvidedRuntime("provided")])

    async def ask() -> list[str | None]:
        return await asyncio.gather(*(catalogue.ensure("provided") for _ in range(3)))

    assert asyncio.run(ask()) == [None, None, None]
    assert made == [ProvidedRuntime("provided")] * 3


def test_ensure_tells_why_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runtime: Runtime) -> None:
        raise TreeError(f"no room for {runtime.identifier}")

    monkeypatch.setattr(module, "make_tree", fail)
    catalogue = Catalogue([ProvidedRuntime("provided")])
    assert asyncio.run(catalogue.ensure("provided")) == "no room for provided"
    assert "restart lambdad" in (asyncio.run(catalogue.ensure("python3.12")) or "")
