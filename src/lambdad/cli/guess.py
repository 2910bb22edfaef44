"""What a directory is: the runtime and handler that its files suggest. Pure but for reading those files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lambdad.cli.errors import CliError

PROVIDED = "provided"
NEWEST_PROVIDED = "provided.al2023"
_NODE_FILES = ("index.mjs", "index.js", "index.cjs", "handler.mjs", "handler.js", "handler.cjs")
_PYTHON_FILES = ("app.py", "lambda_function.py", "main.py", "handler.py")
_PYTHON_HANDLER = re.compile(r"^(?:async[ \t]+)?def[ \t]+(handler|lambda_handler)\b", re.MULTILINE)
_VERSION = re.compile(r"(?P<family>[a-z]+)(?P<version>[0-9]+(?:\.[0-9]+)*)(?:\.x)?", re.ASCII)
_SOURCE_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Guess:
    """family: `python`, `nodejs` or `provided`. because: the file that told."""

    family: str
    handler: str
    because: str


def _has_windows_line_ends(script: Path) -> bool:
    """Whether the kernel would look for an interpreter whose name ends in a carriage return."""
    with script.open("rb") as file:
        line = file.readline(256)
    return line.startswith(b"#!") and line.endswith(b"\r\n")


def guess_function(directory: Path, layers: Iterable[Path] = ()) -> Guess | None:
    """What the files of a directory are; None if they do not tell. Raises CliError for a bootstrap that cannot run.

    layers: directories of the function's layers: one of them may have the bootstrap.
    """
    for place in (directory, *layers):
        bootstrap = place / "bootstrap"
        if bootstrap.is_file():
            if not os.access(bootstrap, os.X_OK):
                raise CliError(f"{bootstrap} is not executable: chmod +x it")
            if _has_windows_line_ends(bootstrap):
                raise CliError(f"{bootstrap} has Windows line ends: `sed -i 's/\\r$//' {bootstrap}`")
            return Guess(PROVIDED, "bootstrap", "bootstrap" if place == directory else str(bootstrap))
    for name in _NODE_FILES:
        if (directory / name).is_file():
            return Guess("nodejs", f"{name.partition('.')[0]}.handler", name)
    for name in _PYTHON_FILES:
        handler = _python_handler(directory / name)
        if handler is not None:
            return Guess("python", f"{name.removesuffix('.py')}.{handler}", name)
    return None


def newest(runtimes: Iterable[str], family: str) -> str | None:
    """The newest runtime of a family; None if there is none. `provided.al2023` where that is among them."""
    known = list(runtimes)
    if family == PROVIDED:
        return NEWEST_PROVIDED if NEWEST_PROVIDED in known else next((name for name in known if name == PROVIDED), None)
    versions = {name: version for name in known if (version := _version(name, family)) is not None}
    return max(versions, key=lambda name: versions[name], default=None)


def family_of(runtime: str | None) -> str | None:
    """`python` of `python3.12`; None of None and of what has no version."""
    if runtime is not None and runtime.startswith(PROVIDED):
        return PROVIDED
    match = _VERSION.fullmatch(runtime or "")
    return None if match is None else match["family"]


def _version(name: str, family: str) -> tuple[int, ...] | None:
    match = _VERSION.fullmatch(name)
    if match is None or match["family"] != family:
        return None
    return tuple(map(int, match["version"].split(".")))


def _python_handler(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as source:
            match = _PYTHON_HANDLER.search(source.read(_SOURCE_MAX))
    except OSError:
        return None
    return None if match is None else match[1]
