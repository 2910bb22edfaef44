"""Builds the /var/runtime of Node.js functions: AWS's client from npm, and our bootstrap and transport.

The client's own transport is a C++ addon that has to be compiled on the machine; `node/transport.mjs` stands in for it,
so nothing is compiled and none of the package's install scripts is run. The package is fetched at first need, at a
pinned version with a pinned digest; afterwards no network is needed. The AWS SDK for JavaScript is not included: AWS
itself advises to bring one's own, and it is a hundred megabytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lambdad.runtimes.tree_cache import TreeError, building

PACKAGE = "aws-lambda-ric"
NPM_TIMEOUT_S = 120.0
_FORMAT = 1
"""Part of every tree's name: raise it when the way that trees are built changes."""
_MEMBER_MAX = 8 * 1024 * 1024
_OUR_FILES = ("index.mjs", "transport.mjs")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    """A release of AWS's client. integrity: as npm writes it. files: what is taken from the package."""

    version: str
    integrity: str
    files: tuple[str, ...]


_LICENCES = ("LICENSE", "NOTICE", "THIRD-PARTY-LICENSES")
_WITH_CALLBACKS = _Release(
    version="3.3.0",
    integrity="sha512-9p06TbKVK4a050NY/vYOxhMHvnIiUu5o1W0//q6yNLSqA/c91pn4BOj3C3sRTpplkUNsGJdU5qWyU2STo6L8hA==",
    files=("package.json", "dist/index.mjs", *_LICENCES),
)
_WITHOUT_CALLBACKS = _Release(
    version="4.0.2",
    integrity="sha512-FE5Vskx7mYNnqAnWWJXUOsLp2VGgdsJsCoRLFTa8L4Yk0QVtArqR8q58yPA++QC1a73ZWJXBQ2AH31nIAv7NOQ==",
    files=("package.json", "index.mjs", *_LICENCES),
)


def _release(major: int) -> _Release:
    """AWS took handlers with callbacks away with Node.js 24."""
    return _WITHOUT_CALLBACKS if major >= 24 else _WITH_CALLBACKS


def node_tree_name(major: int) -> str:
    """Directory name of the tree for a major version, such as `node20-51d0…`."""
    release = _release(major)
    state = hashlib.sha256(f"{_FORMAT}\0{release.version}\0{release.integrity}".encode())
    for name in _OUR_FILES:
        state.update(hashlib.sha256(_our_file(name).read_bytes()).digest())
    return f"node{major}-{state.hexdigest()[:16]}"


def build_node_tree(target: Path, interpreter: str, major: int) -> None:
    """Make `target` (named by `node_tree_name`) if it is not there. Needs npm and its registry. Raises `TreeError`."""
    if target.is_dir():
        return
    release = _release(major)
    with building(target) as tree, tempfile.TemporaryDirectory() as download:
        archive = _fetch(release, interpreter, Path(download))
        _unpack(archive, release, tree / "node_modules" / PACKAGE)
        for name in _OUR_FILES:
            shutil.copyfile(_our_file(name), tree / name)


def _our_file(name: str) -> Path:
    return Path(str(resources.files("lambdad.runtimes.node").joinpath(name)))


def _fetch(release: _Release, interpreter: str, work: Path) -> Path:
    """The package's archive, verified."""
    wanted = f"{PACKAGE}@{release.version}"
    advice = f"lambdad fetches AWS's Node.js client {wanted} with npm when it is first needed"
    beside = Path(interpreter).with_name("npm")
    npm = str(beside) if beside.exists() else shutil.which("npm")
    if npm is None:
        raise TreeError(f"{advice}, and there is no npm beside {interpreter} or on PATH: install npm.")
    search = os.pathsep.join((str(Path(interpreter).parent), os.environ.get("PATH", "/usr/bin:/bin")))
    argv = (npm, "pack", wanted, "--ignore-scripts", "--silent", "--pack-destination", str(work))
    try:
        subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=work,
            env={**os.environ, "PATH": search},
            timeout=NPM_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()[-500:] or f"exit code {error.returncode}"
        raise TreeError(f"{advice}, and `npm pack` failed: {reason}. Is the npm registry reachable?") from error
    except subprocess.TimeoutExpired as error:
        raise TreeError(f"{advice}, and npm did not answer within {NPM_TIMEOUT_S:.0f} s.") from error
    archive = work / f"{PACKAGE}-{release.version}.tgz"
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != release.integrity:
        raise TreeError(f"npm delivered another {wanted} than the one that lambdad knows: it was thrown away.")
    return archive


def _unpack(archive: Path, release: _Release, target: Path) -> None:
    """Only the files that are known, each a regular file: no path of the archive is ever used."""
    try:
        with tarfile.open(archive, "r:gz") as package:
            for name in release.files:
                destination = target / name
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(_member(package, f"package/{name}"))
    except tarfile.TarError as error:
        raise TreeError(f"{archive.name} is no archive of {PACKAGE} {release.version}: {error}") from error


def _member(package: tarfile.TarFile, name: str) -> bytes:
    try:
        member = package.getmember(name)
    except KeyError as error:
        raise TreeError(f"npm delivered an archive without {name}") from error
    content = package.extractfile(member) if member.isreg() and member.size <= _MEMBER_MAX else None
    if content is None:
        raise TreeError(f"npm delivered an archive in which {name} is not a file of a sensible size")
    return content.read()
