"""Where interpreters are looked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lambdad.runtimes.search import (
    SearchPlaces,
    is_script,
    java_candidates,
    node_candidates,
    places_of_host,
    python_candidates,
    ruby_candidates,
)


def _executable(path: Path, text: bytes = b"\x7fELF") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    path.chmod(0o755)
    return str(path)


def test_path_version_managers_and_opt_are_searched(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    expected = {
        _executable(tmp_path / "bin" / "python3.12"),
        _executable(home / ".pyenv/versions/3.12.1/bin/python3.12"),
        _executable(home / ".local/share/uv/python/cpython-3.12.4-linux-x86_64-gnu/bin/python3.12"),
        _executable(root / "opt/python/bin/python3.12"),
        _executable(root / "opt/hostedtoolcache/Python/3.12.9/x64/bin/python3.12"),
    }
    _executable(tmp_path / "bin" / "python3.11")
    places = SearchPlaces(path=(str(tmp_path / "bin"),), homes=(str(home),), roots=(str(root),))
    found = {path for path in python_candidates(places, "3.12") if path.startswith(str(tmp_path))}
    assert found == expected


def test_node_is_found_by_its_names_and_managers(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    expected = {
        _executable(tmp_path / "bin" / "node"),
        _executable(tmp_path / "bin" / "node22"),
        _executable(home / ".nvm/versions/node/v20.1.0/bin/node"),
        _executable(root / "usr/local/n/versions/node/18.0.0/bin/node"),
    }
    _executable(tmp_path / "bin" / "node-gyp")
    places = SearchPlaces(path=(str(tmp_path / "bin"),), homes=(str(home),), roots=(str(root),))
    assert {path for path in node_candidates(places) if path.startswith(str(tmp_path))} == expected


def test_ruby_is_found_by_its_names_and_managers(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    expected = {
        _executable(tmp_path / "bin" / "ruby3.1"),
        _executable(home / ".rbenv/versions/3.2.4/bin/ruby"),
        _executable(root / "opt/rubies/ruby-3.3.0/bin/ruby"),
    }
    _executable(tmp_path / "bin" / "rubygems")
    places = SearchPlaces(path=(str(tmp_path / "bin"),), homes=(str(home),), roots=(str(root),))
    assert {path for path in ruby_candidates(places) if path.startswith(str(tmp_path))} == expected


def test_java_is_found_by_its_managers(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    expected = {
        _executable(home / ".sdkman/candidates/java/21.0.2-tem/bin/java"),
        _executable(root / "usr/lib/jvm/java-17/bin/java"),
        _executable(root / "opt/hostedtoolcache/Java_Temurin-Hotspot_jdk/21.0.5/x64/bin/java"),
    }
    places = SearchPlaces(path=(), homes=(str(home),), roots=(str(root),))
    assert {path for path in java_candidates(places) if path.startswith(str(tmp_path))} == expected


def test_a_file_with_many_names_is_one_candidate(tmp_path: Path) -> None:
    real = _executable(tmp_path / "real" / "python3.12")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.12").symlink_to(real)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "python3.12").symlink_to(tmp_path / "nothing")
    path = tuple(str(tmp_path / name) for name in ("bin", "real", "broken", "missing"))
    assert list(python_candidates(SearchPlaces(path=path, homes=(), own=real), "3.12")) == [real]


def test_what_is_not_executable_is_no_candidate(tmp_path: Path) -> None:
    Path(_executable(tmp_path / "python3.12")).chmod(0o644)
    assert list(python_candidates(SearchPlaces(path=(str(tmp_path),), homes=()), "3.12")) == []


def test_the_places_are_those_of_the_user_and_of_who_called_sudo(tmp_path: Path) -> None:
    places = places_of_host({"PATH": "/a:relative::/b", "HOME": "/home/x"})
    assert (places.path, places.homes, places.roots) == (("/a", "/b"), ("/home/x",), ("/",))
    assert places.own == os.path.realpath(sys.executable)
    assert places_of_host({"HOME": "/root", "SUDO_USER": "root"}).homes == ("/root",)
    assert len(places_of_host({"HOME": "/root", "SUDO_USER": "daemon"}).homes) == 2
    assert places_of_host({"HOME": "/root", "SUDO_USER": "no such user"}).homes == ("/root",)


def test_shims_are_told_from_programs(tmp_path: Path) -> None:
    assert is_script(_executable(tmp_path / "shim", b"#!/bin/sh\n"))
    assert not is_script(_executable(tmp_path / "program"))
    assert is_script(str(tmp_path / "nothing"))
