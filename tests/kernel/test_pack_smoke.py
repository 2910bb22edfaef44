"""The namespace runner: what a test inside it sees, and what it leaves behind. The host's own files are the base."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.smoke import ChrootRunner, SmokeResult
from lambdad.pack.target import ENVIRONMENT
from lambdad.testing.loader_oracle import why_no_sandbox
from lambdad.testing.waiting import wait_until

pytestmark = pytest.mark.kernel
HOST = Path("/")


@pytest.fixture(scope="module", autouse=True)
def sandbox():
    reason = why_no_sandbox()
    if reason:
        pytest.skip(f"no sandbox of namespaces here: {reason}")


@pytest.fixture
def layers(tmp_path):
    tmp_path.chmod(0o755)
    found = []
    for name in ("one", "two"):
        directory = tmp_path / name
        (directory / "bin").mkdir(parents=True)
        (directory / "bin/tool").write_text(f"#!/bin/sh\necho {name}\n")
        (directory / "bin/tool").chmod(0o755)
        (directory / name).write_text(name)
        found.append(directory)
    return tuple(found)


def run(command: str, layers: tuple[Path, ...] = (), **more: str) -> SmokeResult:
    return ChrootRunner().run(HOST, layers, command, {**ENVIRONMENT, **more})


def test_a_layer_is_at_opt_on_the_path_and_cannot_be_written(layers):
    done = run("tool; touch /opt/x 2>/dev/null || echo read-only", layers[:1])
    assert (done.status, done.output) == (0, "one\nread-only\n")


def test_of_several_layers_the_last_wins(layers):
    assert run("tool; cat /opt/one /opt/two", layers).output == "two\nonetwo"


def test_the_environment_is_what_was_given_and_nothing_of_the_host(layers, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    lines = run("env", A="b").output.splitlines()
    assert "A=b" in lines and "LD_LIBRARY_PATH=" + ENVIRONMENT["LD_LIBRARY_PATH"] in lines
    assert not any(line.startswith("SECRET") for line in lines)


def test_tmp_is_empty_and_writable_and_gone_afterwards():
    assert run("ls -A /tmp; echo x > /tmp/mine; cat /tmp/mine").output == "x\n"
    assert not Path("/tmp/mine").exists()


def test_there_is_no_network_and_only_own_processes():
    done = run("cat /proc/net/dev | grep -c : ; ls -d /proc/[0-9]* | wc -l")
    interfaces, processes = (int(word) for word in done.output.split())
    assert interfaces <= 3 and processes < 10


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_the_test_is_lambdas_user_without_capabilities():
    done = run("id -u; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status")
    assert done.output.split() == ["993", "CapEff:", "0" * 16, "NoNewPrivs:", "1"]


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("false", 1), ("no-such-program", 127)])
def test_the_status_is_the_tests(command, status):
    assert run(command).status == status


def test_output_is_bounded_and_its_end_is_kept():
    done = run("yes | head -c 300000; echo the end")
    assert done.output.endswith("the end\n") and len(done.output) <= 64 * 1024


def sleeping() -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"sleep\x004217" in path.read_bytes():
                return True
    return False


def test_a_test_that_hangs_is_ended_with_all_its_children():
    with pytest.raises(PackError, match="did not end within"):
        ChrootRunner(timeout_s=1.0).run(HOST, (), "sleep 4217 & sleep 4217", ENVIRONMENT)
    wait_until(lambda: not sleeping(), "the children to be gone", 30)


def test_no_mount_and_no_directory_is_left(layers):
    before = Path("/proc/self/mounts").read_text()
    run("true", layers)
    assert Path("/proc/self/mounts").read_text() == before
    assert not list(Path("/tmp").glob("lambdad-smoke-*"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_trace_names_the_files_that_were_opened(layers):
    done = ChrootRunner().trace(HOST, layers, "cat /opt/one /opt/nothing; true", ENVIRONMENT)
    assert done.status == 0 and done.trace is not None
    assert 'openat(AT_FDCWD, "/opt/one"' in done.trace and '"/opt/nothing", O_RDONLY) = -1 ENOENT' in done.trace
