"""The runner that is lambdad's own sandbox: what a layer's test sees in it, what it cannot do, and what is left.

The base is busybox and nothing else, so that no mirror is needed.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from pathlib import Path

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.sandboxed import SandboxRunner, choose_runner
from lambdad.pack.smoke import ChrootRunner, SmokeResult
from lambdad.pack.target import ENVIRONMENT
from lambdad.testing.probes import can_make_namespaces, can_mount_overlay, has_cgroup, is_root, skip_unless
from lambdad.testing.waiting import wait_until

BUSYBOX = shutil.which("busybox")

pytestmark = [
    pytest.mark.kernel,
    skip_unless(is_root(), can_make_namespaces(), can_mount_overlay(), has_cgroup("memory")),
    pytest.mark.skipif(BUSYBOX is None, reason="busybox-static is not installed"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base")
    for name in ("bin", "etc", "opt", "proc", "dev", "tmp", "var/task"):
        (root / name).mkdir(parents=True)
    assert BUSYBOX is not None
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in ("sh", "cat", "id", "ls", "sleep", "yes", "head", "env", "grep", "mount", "wc", "touch", "kill"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("sbx_user1051:x:993:990::/:/bin/sh\n")
    (root / "etc/group").write_text("sbx_user1051:x:990:\n")
    return root


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, ...]:
    found = []
    for name in ("one", "two"):
        (tmp_path / name / "bin").mkdir(parents=True)
        tool = tmp_path / name / "bin/tool"
        tool.write_text(f"#!/bin/sh\necho {name}\n")
        tool.chmod(0o755)
        (tmp_path / name / name).write_text(name)
        found.append(tmp_path / name)
    return tuple(found)


def run(base: Path, command: str, layers: tuple[Path, ...] = (), **more: str) -> SmokeResult:
    return SandboxRunner().run(base, layers, textwrap.dedent(command), {**ENVIRONMENT, **more})


def test_the_layer_is_at_opt_the_base_is_the_root_and_neither_can_be_written(base, layers):
    done = run(
        base,
        """
        tool; cat /opt/one; ls /; id -un
        touch /opt/x 2>/dev/null || echo opt is read-only; touch /x 2>/dev/null || echo root is read-only
        """,
        layers[:1],
    )
    words = done.output.split("\n")
    assert words[:1] == ["one"] and words[1].startswith("one")
    assert done.output.endswith("sbx_user1051\nopt is read-only\nroot is read-only\n")
    assert "usr" not in words, "a directory of the host"


def test_of_several_layers_the_last_wins(base, layers):
    assert run(base, "tool; cat /opt/one /opt/two", layers).output == "two\nonetwo"


def test_a_test_is_behind_the_walls_of_a_function(base, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    done = run(
        base,
        """
        grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; env | grep -c SECRET
        ls -d /proc/[0-9]* | wc -l; grep -c : /proc/net/dev; mount -t tmpfs none /tmp 2>/dev/null || echo no mount
        """,
    )
    words = done.output.split()
    assert words[:6] == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    secrets, processes, interfaces = (int(word) for word in words[6:9])
    assert secrets == 0 and processes < 8 and interfaces <= 3  # a kernel may give each network its tunnels
    assert words[9:] == ["no", "mount"]


@pytest.mark.parametrize(
    ("command", "status"), [("exit 7", 7), ("no-such-program", 127), ("kill -9 $$", -9)], ids=["exit", "none", "kill"]
)
def test_the_status_is_the_tests(base, command, status):
    assert run(base, command).status == status


def test_output_is_bounded_and_its_end_is_kept(base):
    done = run(base, "yes | head -c 300000; echo the end")
    assert done.output.endswith("the end\n") and len(done.output) <= 64 * 1024


def test_a_test_that_hangs_is_ended_with_all_its_children(base):
    with pytest.raises(PackError, match="did not end within"):
        SandboxRunner(timeout_s=1.0).run(base, (), "sleep 4218 & sleep 4218", ENVIRONMENT)
    wait_until(lambda: not _running(b"sleep\x004218"), "the children to be gone", 30)


def test_no_mount_no_cgroup_and_no_directory_is_left(base, layers):
    mounts = Path("/proc/self/mounts").read_text()
    groups = _groups()
    run(base, "true", layers)
    assert Path("/proc/self/mounts").read_text() == mounts
    assert _groups() <= groups
    assert not list(Path("/tmp").glob("lambdad-smoke-*"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_trace_names_the_files_that_were_opened_and_nothing_of_how_the_sandbox_was_made(base, layers):
    done = SandboxRunner().trace(base, layers, "cat /opt/one /opt/nothing; true", ENVIRONMENT)
    assert done.status == 0 and done.trace is not None
    assert '"/opt/one", O_RDONLY' in done.trace and '"/opt/nothing", O_RDONLY' in done.trace
    first = done.trace.splitlines()[0]
    assert 'execve("/bin/sh"' in first, first


def test_a_directory_without_a_shell_is_no_base(tmp_path):
    with pytest.raises(PackError, match="is not a base"):
        SandboxRunner().run(tmp_path, (), "true", ENVIRONMENT)


def test_whoever_is_not_root_tests_in_namespaces_and_is_told_so(monkeypatch):
    assert isinstance(choose_runner()[0], SandboxRunner) and choose_runner()[1] == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    runner, lacks = choose_runner()
    assert isinstance(runner, ChrootRunner) and "not root" in lacks


def _running(command: bytes) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def _groups() -> set[str]:
    return {str(path) for path in Path("/sys/fs/cgroup").glob("*/lambdad/*")}


def test_a_shell_that_cannot_be_executed_is_said_to_be_one(base, tmp_path):
    other = tmp_path / "base"
    shutil.copytree(base, other, symlinks=True)
    (other / "bin/sh").unlink()
    (other / "bin/sh").write_text("no program")
    with pytest.raises(PackError, match="the test could not be started: fork/exec /bin/sh"):
        SandboxRunner().run(other, (), "true", ENVIRONMENT)
