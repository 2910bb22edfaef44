"""Running the tools that a layer is made with (apt, dpkg, pip, npm, patchelf), with errors worth reading."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.pack.errors import PackError
from lambdad.pack.target import Arch, arch_named

TIMEOUT_S = 1_800
TAIL = 2_000
_EMULATORS = {"arm64": "qemu-aarch64", "x86_64": "qemu-x86_64"}


class ToolFailed(PackError):
    """A tool ended with an error. output: the end of what it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def find_tool(name: str, package: str) -> str:
    """The path of a tool: beside the running Python (wheels install there) or on PATH. Raises PackError."""
    beside = Path(sys.executable).parent / name
    if beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise PackError(f"{name} is not installed: install {package}")
    return found


def run_tool(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """Standard output of a tool that succeeded, as text; see `tool_output`."""
    output = tool_output(argv, environment=environment, directory=directory, timeout_s=timeout_s)
    return output.decode("utf-8", "replace")


def tool_output(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """Standard output of a tool that succeeded; its standard error is kept for the error message only."""
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
            cwd=directory,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise PackError(f"{argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise PackError(f"{argv[0]} did not finish within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        tail = (done.stdout + done.stderr)[-4 * TAIL :].decode("utf-8", "replace").strip()[-TAIL:]
        raise ToolFailed(f"{Path(argv[0]).name} failed with exit status {done.returncode}:\n{tail}", tail)
    return done.stdout


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment in the C locale, so that the words of tools can be read."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **more}


def can_execute(arch: Arch) -> bool:
    """Whether programs of `arch` run here: by the processor, or by an emulator that binfmt_misc names."""
    emulator = Path("/proc/sys/fs/binfmt_misc") / _EMULATORS[arch.lambda_name]
    return arch_named(platform.machine()) is arch or emulator.exists()
