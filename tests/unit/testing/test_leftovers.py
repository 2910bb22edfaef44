"""What is left is found by the data directory's name, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lambdad.testing.leftovers import Holdings, descendants, describe_leftovers, list_holdings


def _waiting_process(argument: str, cwd: Path) -> subprocess.Popen[bytes]:
    """A process that says it runs and then waits until its standard input is closed."""
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, argument]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def _pids(held: Holdings) -> set[int]:
    return {process.pid for process in held.processes}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def test_a_process_that_names_the_directory_in_its_command_is_held(tmp_path: Path) -> None:
    process = _waiting_process(f"--data-dir={tmp_path / 'data'}", Path("/"))
    try:
        assert _pids(list_holdings(tmp_path / "data")) == {process.pid}
    finally:
        _end(process)


def test_a_process_that_stands_in_the_directory_is_held(tmp_path: Path) -> None:
    process = _waiting_process("anything", tmp_path)
    try:
        assert _pids(list_holdings(tmp_path)) == {process.pid}
    finally:
        _end(process)


def test_nothing_is_held_when_nobody_names_the_directory(tmp_path: Path) -> None:
    held = list_holdings(tmp_path / "nobody-knows-it")
    assert (held.processes, held.mounts, held.loop_devices, held.cgroups) == (frozenset(), (), (), frozenset())


def test_a_process_that_outlives_its_node_is_described_with_its_command(tmp_path: Path) -> None:
    process = _waiting_process("a-forgotten-one", tmp_path)
    try:
        left = describe_leftovers(tmp_path, list_holdings(tmp_path))
    finally:
        _end(process)
    assert len(left) == 1
    assert left[0].startswith(f"process {process.pid}: ")
    assert "a-forgotten-one" in left[0]
    assert describe_leftovers(tmp_path, list_holdings(tmp_path)) == []


def test_what_runs_below_the_node_is_held_and_left_whatever_it_names(tmp_path: Path) -> None:
    process = _waiting_process("names nothing", Path("/"))
    try:
        held = list_holdings(tmp_path, os.getpid())
        assert process.pid in _pids(held)
        only = Holdings(frozenset(p for p in held.processes if p.pid == process.pid), (), (), frozenset())
        assert [line.split(":")[0] for line in describe_leftovers(tmp_path, only)] == [f"process {process.pid}"]
    finally:
        _end(process)
    assert describe_leftovers(tmp_path, only) == []


def test_descendants_are_the_whole_tree_below_a_process(tmp_path: Path) -> None:
    grandchild = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        deepest = int(process.stdout.readline())
        assert {process.pid, deepest} <= set(descendants(os.getpid()))
        assert descendants(process.pid) == [deepest]
    finally:
        _end(process)
