"""Builds the /var/runtime of Python functions: AWS's client, the AWS SDK, our entry, compiled for one interpreter.

The parts are files of distributions that lambdad depends on, found by their metadata, so a host needs no network for
them. A tree is named by its content, made once in the cache directory, moved into place whole, and never changed.
Only pure Python is taken: our `runtime_client` stands in for the client's C extension (it is also the faster one), and
a C accelerator that fits no other interpreter is left out.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path, PurePosixPath

from lambdad.runtimes.tree_cache import TreeError, building

CLIENT_DISTRIBUTIONS = ("awslambdaric", "simplejson", "snapshot-restore-py")
SDK_DISTRIBUTIONS = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "urllib3", "six")
SDK_MINIMUM = (3, 10)
"""boto3 and urllib3 of today do not import under 3.9: such functions bring their own."""

_FORMAT = 1
"""Part of every tree's name: raise it when the way that trees are built changes."""
_COMPILE_TIMEOUT_S = 300.0
_LEFT_OUT = ("__pycache__", "tests")


@dataclass(frozen=True, slots=True)
class _Part:
    """A file to take over: its name in the tree and where it is now; `digest` tells its content."""

    name: str
    source: Path
    digest: str


def python_tree_name(minor: str, soabi: str) -> str:
    """Directory name of the tree for an interpreter, such as `python3.12-0f3c…`."""
    state = hashlib.sha256(f"{_FORMAT}\0{minor}\0{soabi}".encode())
    for part in _parts(minor, soabi):
        state.update(f"\0{part.name}\0{part.digest}".encode())
    return f"python{minor}-{state.hexdigest()[:16]}"


def build_python_tree(target: Path, *, minor: str, soabi: str, interpreter: str) -> None:
    """Make `target` (named by `python_tree_name`) if it is not there. Takes a second or two. Raises `TreeError`."""
    if target.is_dir():
        return
    with building(target) as work:
        for part in _parts(minor, soabi):
            destination = work / part.name
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part.source, destination)
        _compile(work, interpreter)


def _parts(minor: str, soabi: str) -> Sequence[_Part]:
    release = tuple(int(number) for number in minor.split("."))
    names = CLIENT_DISTRIBUTIONS + (SDK_DISTRIBUTIONS if release >= SDK_MINIMUM else ())
    parts = [part for name in names for part in _distribution_parts(name, soabi)]
    ours = resources.files("lambdad.runtimes.python")
    files = {"bootstrap.py": "entry.py", "runtime_client.py": "runtime_client.py", "lambdad_snapshot.py": "snapshot.py"}
    for name, file in files.items():
        source = Path(str(ours.joinpath(file)))
        parts.append(_Part(name, source, hashlib.sha256(source.read_bytes()).hexdigest()))
    return sorted(parts, key=lambda part: part.name)


def _distribution_parts(name: str, soabi: str) -> Iterator[_Part]:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise TreeError(f"The Python package {name} is missing beside lambdad: reinstall lambdad with pip") from error
    for file in distribution.files or ():
        path = PurePosixPath(file)
        if not _is_wanted(path, soabi):
            continue
        # Only what pip itself writes (INSTALLER, direct_url.json) has no hash, and none of it is wanted.
        if file.hash is not None:
            yield _Part(str(path), Path(str(file.locate())), f"{file.hash.mode}={file.hash.value}")


def _is_wanted(path: PurePosixPath, soabi: str) -> bool:
    if path.is_absolute() or ".." in path.parts or any(part in _LEFT_OUT for part in path.parts):
        return False
    if path.parts[0].endswith((".dist-info", ".egg-info")):
        return path.name == "METADATA" or "LICENSE" in path.name or path.name.startswith("NOTICE")
    if path.suffix == ".so":
        return path.name.endswith((f".{soabi}.so", ".abi3.so")) and not path.name.startswith("runtime_client.")
    return True


def _compile(work: Path, interpreter: str) -> None:
    """Byte code in advance, valid whatever the files' times: a sandbox can write none."""
    argv = (interpreter, "-I", "-S", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", str(work))
    environment = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "315532800"}
    try:
        # A file that does not compile under an old interpreter (a newer syntax behind a guard) is no reason to stop.
        subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_COMPILE_TIMEOUT_S,
            check=False,
        )
    except subprocess.SubprocessError as error:
        raise TreeError(f"{interpreter} did not compile the Python runtime: {error}") from error
