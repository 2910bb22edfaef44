"""The launcher as a program: what it imports, under every interpreter that may run it, and its small parts."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.sandbox.inside import launcher

PROGRAM = Path(launcher.__file__)
ALLOWED = {"__future__", "lambdad", "_signal", "_socket", "ctypes", "gc", "marshal", "os", "select", "sys"}
BELOW = {"_ctypes", "_struct", "struct", "types", "stat", "_stat", "posixpath", "genericpath", "abc", "_abc"}
"""What those import themselves, in one version or another."""
BELOW |= {"_collections_abc", "posix", "_weakref", "nt", "_opcode", "errno"}


def _interpreters() -> list[str]:
    """One of each version from 3.9 that is found on the path or where version managers put them."""
    found = {sys.version_info[1]: sys.executable}
    places = [Path(directory) for directory in os.environ.get("PATH", "").split(os.pathsep)]
    places += sorted(Path.home().glob(".pyenv/versions/3.*/bin"))
    for place in places:
        for minor in range(9, 15):
            path = place / f"python3.{minor}"
            if minor not in found and path.exists() and _works(str(path)):
                found[minor] = str(path)
    return [found[minor] for minor in sorted(found)]


def _works(path: str) -> bool:
    """Version managers put stand-ins on the path for versions that are not chosen."""
    done = subprocess.run([path, "-I", "-S", "-c", ""], capture_output=True, timeout=60)
    return done.returncode == 0


def _run(interpreter: str, code: str) -> str:
    done = subprocess.run([interpreter, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.parametrize("interpreter", _interpreters(), ids=lambda path: Path(path).name)
def test_it_runs_under_every_interpreter_and_imports_next_to_nothing(interpreter: str) -> None:
    code = f"""
import sys
before = set(sys.modules)
sys.path.insert(0, {str(PROGRAM.parents[3])!r})
import lambdad.sandbox.inside.launcher
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    imported = set(_run(interpreter, code).split())
    assert imported - ALLOWED - BELOW == set()


def test_it_imports_at_its_top_only() -> None:
    tree = ast.parse(PROGRAM.read_text())
    inner = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [node for function in inner for node in ast.walk(function) if isinstance(node, ast.Import)]


def test_a_functions_imports_find_nothing_of_lambdad() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(PROGRAM.parents[3])!r})
from lambdad.sandbox.inside.launcher import forget_lambdad
forget_lambdad()
print([name for name in sys.modules if "lambdad" in name], {str(PROGRAM.parents[3])!r} in sys.path)
"""
    assert _run(sys.executable, code) == "[] False\n"
