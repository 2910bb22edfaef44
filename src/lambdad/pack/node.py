"""npm packages for the target, under `nodejs/node_modules`, from npm's own lock. Install scripts do not run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambdad.pack.cache import Cache, remove_tree
from lambdad.pack.errors import PackError
from lambdad.pack.lock import Pin
from lambdad.pack.process import ToolFailed, find_tool, run_tool
from lambdad.pack.target import ARCHES, Arch

_FOREIGN_SINCE = 10
"""The release of npm that began to listen to `--cpu`; Debian 12 and 13 have an older one."""
_QUIET = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-progress", "--loglevel=error")


def resolve_npm(packages: Sequence[str], arch: Arch, cache: Cache) -> tuple[tuple[Pin, ...], str]:
    """Pins, and npm's lock as text with the addresses taken out: npm finds the bytes by name and checks SHA-512."""
    with cache.scratch() as scratch:
        (scratch / "package.json").write_text('{"name": "layer", "version": "1.0.0", "private": true}\n')
        _npm(["install", "--package-lock-only", "--save-exact", *_platform(arch), *packages], scratch)
        lock = json.loads((scratch / "package-lock.json").read_text())
        lock["package"] = json.loads((scratch / "package.json").read_text())
    for entry in lock["packages"].values():
        entry.pop("resolved", None)
    return npm_pins(lock), json.dumps(lock, sort_keys=True)


def npm_pins(lock: dict[str, Any]) -> tuple[Pin, ...]:
    """One pin per installed path of an npm lock; `depends` are the names it asks for."""
    pins: dict[str, Pin] = {}
    for path, entry in sorted(lock["packages"].items()):
        if not path:
            continue
        name = path.rpartition("node_modules/")[2]
        depends = tuple(sorted({**entry.get("dependencies", {}), **entry.get("optionalDependencies", {})}))
        pins.setdefault(name, Pin(source="npm", name=name, version=str(entry["version"]), depends=depends))
    return tuple(pins.values())


def install_npm(lock_text: str, arch: Arch, tree: Path) -> dict[str, tuple[str, str]]:
    """Install exactly what the lock says into `tree`/nodejs; facts by path. Raises PackError."""
    lock = json.loads(lock_text)
    directory = tree / "nodejs"
    directory.mkdir(parents=True, exist_ok=True)
    package = lock.pop("package")
    (directory / "package.json").write_text(json.dumps(package))
    (directory / "package-lock.json").write_text(json.dumps(lock))
    _npm(["ci", "--omit=dev", *_platform(arch)], directory)
    for name in ("package.json", "package-lock.json", "node_modules/.package-lock.json"):
        (directory / name).unlink(missing_ok=True)
    remove_tree(directory / "node_modules/.cache")
    facts = {}
    for path in sorted(directory.rglob("*")):
        relative = str(path.relative_to(tree))
        parts = relative.rpartition("node_modules/")[2].split("/")
        name = "/".join(parts[: 2 if parts[0].startswith("@") else 1])
        facts[relative] = (f"npm:{name}", "")
    return facts


def install_modules(directory: Path, arch: Arch) -> None:
    """Install what the package.json in `directory` asks for, beside it: exactly its lock, if it has one.

    Raises PackError.
    """
    is_locked = (directory / "package-lock.json").exists() or (directory / "npm-shrinkwrap.json").exists()
    lock = [] if is_locked else ["--no-package-lock"]
    _npm(["ci" if is_locked else "install", "--omit=dev", *lock, *_platform(arch)], directory)
    (directory / "node_modules/.package-lock.json").unlink(missing_ok=True)
    remove_tree(directory / "node_modules/.cache")


def _platform(arch: Arch) -> list[str]:
    return ["--os=linux", f"--cpu={arch.npm}", "--libc=glibc"]


def _check_reach(npm: str, arguments: Sequence[str]) -> None:
    """Raises PackError for an npm that would install for this machine, whatever processor it is asked for."""
    own = next((arch.npm for arch in ARCHES.values() if arch.wheel == os.uname().machine), "")
    if f"--cpu={own}" in arguments:
        return
    version = run_tool([npm, "--version"]).strip()
    if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) < _FOREIGN_SINCE:
        raise PackError(f"npm {version} installs for this machine's processor only: another one needs npm 10 or newer")


def _npm(arguments: list[str], directory: Path) -> None:
    npm = find_tool("npm", "Node.js")
    try:
        _check_reach(npm, arguments)
        run_tool([npm, *arguments, *_QUIET], directory=directory)
    except ToolFailed as error:
        raise PackError(f"npm cannot give what is asked for:\n{error.output}") from None
