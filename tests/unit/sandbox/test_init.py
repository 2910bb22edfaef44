"""The launcher as a program: what it imports, under every interpreter that may run it, and its small parts."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.sandbox import init

PROGRAM = Path(init.__file__)
ALLOWED = {"__future__", "_signal", "_socket", "ctypes", "gc", "marshal", "os", "select", "sys"}
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
with open({str(PROGRAM)!r}, "rb") as file:
    program = file.read()
before = set(sys.modules)
exec(compile(program, "init.py", "exec"), {{"__name__": "not main"}})
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    imported = set(_run(interpreter, code).split())
    assert imported - ALLOWED - BELOW == set()


def test_it_imports_at_its_top_only() -> None:
    tree = ast.parse(PROGRAM.read_text())
    inner = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [node for function in inner for node in ast.walk(function) if isinstance(node, ast.Import)]


def test_descriptors_but_the_named_ones_are_closed() -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
import init
kept = [os.dup(0) for _ in range(20)]
init.keep_only([0, 1, 2, kept[3], kept[7]])
print(sorted(int(name) for name in os.listdir("/proc/self/fd")) == sorted([0, 1, 2, 3, kept[3], kept[7]]), kept[0] == 3)
"""
    assert _run(sys.executable, code) == "True True\n"


def test_a_limit_is_never_above_the_hosts_own() -> None:
    code = f"""
import resource, sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
import init
resource.setrlimit(resource.RLIMIT_NOFILE, (500, 600))
init.set_limit(init.RLIMIT_NOFILE, 1024)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
init.set_limit(init.RLIMIT_NOFILE, 100)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    assert _run(sys.executable, code) == "(600, 600)\n(100, 100)\n"


def test_a_program_is_looked_for_on_the_path(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "first" / "tool").mkdir()  # a directory is no program
    (tmp_path / "second" / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "second" / "tool").chmod(0o755)
    path = f"{tmp_path}/first:{tmp_path}/second"
    assert init.find_program("tool", path) == f"{tmp_path}/second/tool"
    assert init.find_program("/any/path", path) == "/any/path"
    with pytest.raises(init.Refused, match=r"executable file not found in \$PATH") as caught:
        init.find_program("missing", path)
    assert caught.value.kind == "Runtime.InvalidEntrypoint"


def test_reasons_are_worded_as_awss() -> None:
    assert init.reason(FileNotFoundError(2, "No such file or directory")) == "no such file or directory"
    assert init.reason(ValueError("embedded null byte")) == "embedded null byte"


def test_an_error_is_described_in_one_packet() -> None:
    assert init.describe(OSError(1, "x" * 100_000)).startswith(b"PermissionError: [Errno 1] xxx")
    assert len(init.describe(OSError(1, "x" * 100_000))) <= 4096
