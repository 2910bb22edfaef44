"""Running a layer's tests where it will run: the contract, and a runner made of plain namespaces.

`SmokeRunner` is what `build` and `verify` need; `sandboxed` has the one that is lambdad's own sandbox, for root.
`ChrootRunner` is for everybody else and satisfies it with util-linux alone: the base read-only at /, the layer
read-only at /opt, /tmp empty, no network but a loopback, no capabilities, Lambda's user and environment and nothing
else. Mounts live in the test's own namespace and go with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lambdad.pack.base import SANDBOX_GID, SANDBOX_UID
from lambdad.pack.errors import PackError
from lambdad.pack.process import find_tool

OUTPUT_MAX = 64 * 1024
TEST_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """How a test ended. status: exit status, negative for a signal; output: stdout and stderr, the last 64 KiB.

    trace: what strace wrote from when the test was in its root, None if it was not traced.
    """

    status: int
    output: str
    trace: str | None = None


class SmokeRunner(Protocol):
    """Runs shell commands in a place like Lambda."""

    def run(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        """Run `command` by /bin/sh with `layers` merged at /opt (the last wins) on the root file system `base`.

        environment is the whole environment. Raises PackError if there is no sandbox to run it in.
        """
        ...

    def trace(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        """As `run`, and record which files are opened. Raises PackError if the host cannot trace."""
        ...


def strace_command(log: Path, *more_calls: str) -> tuple[str, ...]:
    """strace of every call that names a file, and of `more_calls`, in a process and its children, into `log`.

    Raises PackError if there is no strace.
    """
    calls = ",".join(("%file", *more_calls))
    tool = find_tool("strace", "the Debian package strace, to look for leaks")
    return (tool, "-f", "-s", "4096", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(log))


def after_chroot(trace: str) -> str:
    """The part of a trace that comes after the change of root; all of it if there was none."""
    lines = trace.splitlines(keepends=True)
    entered = next((number for number, line in enumerate(lines) if " chroot(" in line), -1)
    return "".join(lines[entered + 1 :])


_SCRIPT = """
set -eu
root=$1 base=$2 layers=$3; shift 3
mount --bind "$base" "$root"
mount -o remount,ro,bind,nosuid,nodev "$root"
case "$layers" in
  "") ;;
  *:*) mount -t overlay overlay -o "ro,lowerdir=$layers" "$root/opt" ;;
  *) mount --bind "$layers" "$root/opt"; mount -o remount,ro,bind,nosuid,nodev "$root/opt" ;;
esac
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=755,nosuid,size=1m tmpfs "$root/dev"
for device in null zero full random urandom; do
  : > "$root/dev/$device"; mount --bind /dev/$device "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"; ln -s fd/0 "$root/dev/stdin"; ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"; mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev,size=512m tmpfs "$root/tmp"
ip link set lo up 2>/dev/null || true
exec "$@"
"""


class ChrootRunner:
    """A `SmokeRunner` of unshare, mount and setpriv. As root the test runs as `sbx_user1051`; otherwise as the only
    user of a user namespace, where the host allows one.
    """

    def __init__(self, timeout_s: float = TEST_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s

    def run(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        return self._run((), base, layers, command, environment)

    def trace(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        with tempfile.TemporaryDirectory(prefix="lambdad-trace-") as directory:
            log = Path(directory) / "trace"
            done = self._run(strace_command(log, "chroot"), base, layers, command, environment)
            return SmokeResult(done.status, done.output, after_chroot(log.read_text(errors="surrogateescape")))

    def _run(
        self,
        prefix: tuple[str, ...],
        base: Path,
        layers: tuple[Path, ...],
        command: str,
        environment: Mapping[str, str],
    ) -> SmokeResult:
        if not (base / "bin/sh").exists():
            raise PackError(f"{base} has no /bin/sh: it is not a base")
        with tempfile.TemporaryDirectory(prefix="lambdad-smoke-") as root:
            argv = [*prefix, *self._argv(root, base, layers, command, environment)]
            return self._wait(argv)

    def _argv(
        self, root: str, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]
    ) -> list[str]:
        unprivileged = () if os.geteuid() == 0 else ("--user", "--map-root-user")
        inside = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items()), "/bin/sh", "-c"]
        user = [f"--userspec={SANDBOX_UID}:{SANDBOX_GID}", "--groups="] if os.geteuid() == 0 else []
        merged = ":".join(str(layer.resolve()) for layer in reversed(layers))
        return [
            "unshare", *unprivileged, "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
            "--net", "--ipc", "--uts", "--", "/bin/sh", "-c", _SCRIPT, "sh", root, str(base.resolve()), merged,
            "setpriv", "--no-new-privs", "--bounding-set=-sys_admin,-sys_ptrace,-net_admin",
            "chroot", *user, root, *inside, f"cd /var/task 2>/dev/null || cd /; {command}",
        ]  # fmt: skip

    def _wait(self, argv: list[str]) -> SmokeResult:
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            except FileNotFoundError:
                raise PackError(f"{argv[0]} is not installed: layers are tested with util-linux's unshare") from None
            try:
                status = process.wait(timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                raise PackError(f"the test did not end within {self._timeout_s:.0f} s") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            size = output.seek(0, 2)
            output.seek(max(0, size - OUTPUT_MAX))
            return SmokeResult(status, output.read().decode("utf-8", "replace"))
