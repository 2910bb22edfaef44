"""A base small enough for unit tests, and a runner that only takes notes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lambdad.pack.base import Base, open_base
from lambdad.pack.smoke import SmokeResult

STATUS = """Package: libc6
Status: install ok installed
Version: 2.36-9

Package: gone
Status: deinstall ok config-files
Version: 1
"""


def make_base(directory: Path) -> Base:
    """A base with a shell's name and dpkg's list, and nothing that runs."""
    rootfs = directory / "rootfs"
    for relative, text in {
        "usr/bin/sh": "",
        "usr/bin/env": "",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "usr/lib/x86_64-linux-gnu/libc.so.6": "",
        "var/lib/dpkg/status": STATUS,
    }.items():
        path = rootfs / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("bin", "lib", "sbin"):
        (rootfs / name).symlink_to(f"usr/{name}")
    for name in ("opt", "dev"):
        (rootfs / name).mkdir()
    table = {
        "format": 1,
        "name": "tiny",
        "suite": "bookworm",
        "arch": "x86_64",
        "digest": "d" * 64,
        "packages": {"libc6": "2.36-9"},
    }
    (directory / "base.json").write_text(json.dumps(table))
    return open_base(directory)


class NotingRunner:
    """A SmokeRunner that runs nothing: it notes commands and answers with `statuses`, by command."""

    def __init__(self, statuses: Mapping[str, int] | None = None) -> None:
        self.commands: list[str] = []
        self.statuses = dict(statuses or {})

    def run(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        self.commands.append(command)
        return SmokeResult(self.statuses.get(command, 0), f"output of {command}")

    def trace(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        return self.run(base, layers, command, environment)


class NotingProgress:
    """Keeps what a build said."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    def step(self, stage: str, doing: str) -> None:
        self.steps.append((stage, doing))
