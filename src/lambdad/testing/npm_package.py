"""Packages of npm's registry for tests: pinned, verified, and none of their scripts is run."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.tree_cache import TreeError

_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """integrity: as npm writes it."""

    name: str
    version: str
    integrity: str


def fetch_package(package: NpmPackage, work: Path) -> Path:
    """The package's archive, verified, below `work`. Raises `TreeError`."""
    wanted = f"{package.name}@{package.version}"
    command = ("npm", "pack", wanted, "--ignore-scripts", "--silent", "--pack-destination", str(work))
    try:
        done = subprocess.run(
            command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TreeError(f"npm cannot fetch {wanted}: {error}") from None
    if done.returncode != 0:
        raise TreeError(f"npm cannot fetch {wanted}:\n{(done.stdout + done.stderr)[-2000:]}")
    archive = work / f"{package.name.removeprefix('@').replace('/', '-')}-{package.version}.tgz"
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        raise TreeError(f"npm delivered another {wanted} than the one that is known: sha512-{digest}")
    return archive


def unpack_package(package: NpmPackage, directory: Path) -> Path:
    """The package's files, verified: `directory`/package, as archives of npm have them. Raises `TreeError`."""
    archive = fetch_package(package, directory)
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    archive.unlink()
    return directory / "package"
