"""Asking interpreters what they are: only what answers well counts, and it is asked once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from lambdad.runtimes.probe import probe_java, probe_node, probe_python, probe_ruby

PYTHON_ANSWER = {
    "implementation": "cpython",
    "version": "3.12.5",
    "final": True,
    "executable": "/opt/python/bin/python3.12",
    "prefix": "/opt/python",
    "soabi": "cpython-312-x86_64-linux-gnu",
    "free_threaded": False,
}
NODE_ANSWER = {"version": "20.1.0", "executable": "/opt/node/bin/node", "final": True}


RUBY_ANSWER = {
    "version": "3.2.1", "engine": "ruby", "executable": "/opt/ruby/bin/ruby", "prefix": "/opt/ruby", "final": True
}  # fmt: skip


def _program(path: Path, output: str, status: int = 0) -> str:
    """A program that answers, and counts how often it was asked."""
    path.write_text(f"#!/bin/sh\necho x >> {path}.asked\ncat <<'END'\n{output}\nEND\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


def _asked(path: str) -> int:
    counter = Path(f"{path}.asked")
    return len(counter.read_text().splitlines()) if counter.exists() else 0


def test_this_interpreter_tells_its_base_installation(tmp_path: Path) -> None:
    found = probe_python(os.path.realpath(sys.executable), tmp_path)
    assert found is not None
    assert found.release == sys.version_info[:3]
    assert found.executable == os.path.realpath(sys.executable)
    assert found.prefix == os.path.realpath(sys.base_prefix)


def test_an_interpreter_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    program = _program(tmp_path / "python3.12", json.dumps(PYTHON_ANSWER))
    for _ in range(3):
        found = probe_python(program, tmp_path / "cache")
        assert found is not None and found.version == "3.12.5"
    assert _asked(program) == 1
    os.utime(program, ns=(1, 1))
    probe_python(program, tmp_path / "cache")
    assert _asked(program) == 2


def test_a_cache_that_cannot_be_written_or_read_costs_a_probe_only(tmp_path: Path) -> None:
    program = _program(tmp_path / "python3.12", json.dumps(PYTHON_ANSWER))
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    assert probe_python(program, blocked) is not None
    assert probe_python(program, tmp_path / "cache") is not None
    for file in (tmp_path / "cache" / "probes").iterdir():
        file.write_text("{")
    assert probe_python(program, tmp_path / "cache") is not None
    assert _asked(program) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"implementation": "pypy"},
        {"free_threaded": True},
        {"final": False},
        {"version": "three"},
        {"version": "3.12"},
        {"executable": "python3"},
        {"prefix": None, "version": None},
    ],
)
def test_what_is_no_released_cpython_does_not_count(tmp_path: Path, change: dict[str, object]) -> None:
    program = _program(tmp_path / "python3.12", json.dumps({**PYTHON_ANSWER, **change}))
    assert probe_python(program, tmp_path / "cache") is None


@pytest.mark.parametrize(
    ("output", "status"), [("", 0), ("[]", 0), ("{", 0), (json.dumps(PYTHON_ANSWER), 1), ("{}", 0)]
)
def test_what_answers_badly_does_not_count(tmp_path: Path, output: str, status: int) -> None:
    assert probe_python(_program(tmp_path / "python3.12", output, status), tmp_path / "cache") is None


def test_what_is_not_there_does_not_count(tmp_path: Path) -> None:
    assert probe_python(str(tmp_path / "nothing"), tmp_path) is None
    assert probe_node(str(tmp_path / "nothing"), tmp_path) is None


def test_a_node_tells_version_and_prefix(tmp_path: Path) -> None:
    found = probe_node(_program(tmp_path / "node", json.dumps(NODE_ANSWER)), tmp_path / "cache")
    assert found is not None
    assert (found.release, found.prefix) == ((20, 1, 0), "/opt/node")
    assert probe_node(_program(tmp_path / "rc", json.dumps({**NODE_ANSWER, "final": False})), tmp_path / "c") is None


def test_a_ruby_is_one_if_it_is_crubys_and_released(tmp_path: Path) -> None:
    found = probe_ruby(_program(tmp_path / "ruby", json.dumps(RUBY_ANSWER)), tmp_path / "cache")
    assert found is not None and (found.release, found.prefix) == ((3, 2, 1), "/opt/ruby")
    for name, change in (("jruby", {"engine": "jruby"}), ("preview", {"final": False})):
        assert probe_ruby(_program(tmp_path / name, json.dumps({**RUBY_ANSWER, **change})), tmp_path / "cache") is None


@pytest.mark.parametrize(
    ("version", "release"),
    [("17.0.15", (17, 0, 15)), ("25", (25, 0, 0)), ("1.8.0_392", (1, 8, 0)), ("22-ea", None), ("nonsense", None)],
)
def test_a_java_tells_its_properties(tmp_path: Path, version: str, release: tuple[int, ...] | None) -> None:
    text = f"Property settings:\n    java.home = {tmp_path}\n    java.version = {version}\n    user.dir = /"
    found = probe_java(_program(tmp_path / "java", text), tmp_path / "cache")
    assert (found and found.release) == release
    if found is not None:
        assert (found.prefix, found.executable) == (str(tmp_path), f"{tmp_path}/bin/java")
