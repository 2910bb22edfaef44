"""What a Java function sees at /var/runtime is compiled by the JDK that is there, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lambdad.runtimes.java_tree import CLASSES, build_java_tree, java_tree_name
from lambdad.runtimes.tree_cache import TreeError


def _compiler(home: Path, script: str) -> str:
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "javac"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(home)


def test_the_jdk_of_this_host_compiles_client_and_interfaces(tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        pytest.skip("there is no JDK on this machine")
    target = tmp_path / "runtimes" / java_tree_name()
    build_java_tree(target, str(tmp_path / "no-home"))
    assert (target / CLASSES / "lambdad/Main.class").is_file()
    interface = target / CLASSES / "com/amazonaws/services/lambda/runtime/RequestHandler.class"
    assert interface.read_bytes()[:8] == b"\xca\xfe\xba\xbe\x00\x00\x00\x37"  # class files of Java 11
    assert interface.stat().st_mode & 0o777 == 0o644


def test_a_tree_that_is_there_needs_no_compiler(tmp_path: Path) -> None:
    target = tmp_path / java_tree_name()
    target.mkdir()
    build_java_tree(target, "/nonexistent")


def test_a_java_without_a_compiler_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TreeError, match="install a JDK"):
        build_java_tree(tmp_path / "tree", str(tmp_path))


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(tmp_path: Path) -> None:
    home = _compiler(tmp_path / "jdk", "echo no such release >&2; exit 1")
    with pytest.raises(TreeError, match="no such release"):
        build_java_tree(tmp_path / "runtimes" / "tree", home)
    assert list((tmp_path / "runtimes").iterdir()) == []
