"""The examples of custom runtimes: what each needs, and how it is built. For tests and benchmarks.

Rule: an example is built in a copy; its `conformance` directory, laid over another copy, makes it what
`lambdad runtime test` calls.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambdad.testing.deploying import Deployed, deploy

EXAMPLES = Path(__file__).parents[3] / "examples"
_CONFORMANCE = "conformance"
_BUILD_LIMIT = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """tool: the program that must be on this machine. build: run in the example's directory, if anything.

    layers: recipes under examples/, whose layers a function of it needs. environment: of the function.
    """

    tool: str
    build: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


BUILDS: Mapping[str, Example] = {
    "bash": Example(tool="curl"),
    "perl": Example(tool="perl"),
    "ruby": Example(tool="ruby"),
    "php": Example(tool="php"),
    "java": Example(tool="javac", build=("javac", "-d", ".", "Bootstrap.java", "Function.java")),
    "rust": Example(
        tool="rustc", build=("rustc", "-O", "-C", "target-feature=+crt-static", "-o", "bootstrap", "bootstrap.rs")
    ),
    "cpp": Example(
        tool="g++",
        build=("g++", "-std=c++17", "-O2", "-static", "-o", "bootstrap", "bootstrap.cpp", "function.cpp"),
    ),
    "go": Example(
        tool="go", build=("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", "bootstrap", ".")
    ),
    "haskell": Example(
        tool="ghc",
        build=("ghc", "-v0", "-O", "-static", "-optl-static", "-optl-pthread", "-o", "bootstrap", "bootstrap.hs"),
    ),
    "lua": Example(tool="mmdebstrap", layers=("hello-lua/layer.toml",), environment={"PATH": "/opt/bin:/usr/bin:/bin"}),
    "bun": Example(tool="npm", layers=("hello-bun/layer.toml",)),
    "php-fpm": Example(tool="mmdebstrap", layers=("layers/php/layer.toml", "hello-php-fpm/layer.toml")),
}
"""By language; `hello-LANGUAGE` is the directory."""

MANAGED: Mapping[str, Example] = {"java-managed": Example(tool="javac", build=("javac", "-d", ".", "Hello.java"))}
"""Functions under runtimes of AWS's that have to be built, too."""


class BuildFailed(Exception):
    """The text is what the tool said."""


def build_example(language: str, directory: Path) -> None:
    """Build the example of a language in a new `directory`. Raises `BuildFailed`."""
    _copy(language, directory)
    _build(language, directory)


def build_conformance(language: str, directory: Path) -> None:
    """The same runtime with the function that the conformance suite calls. Raises `BuildFailed`."""
    _copy(language, directory)
    shutil.copytree(EXAMPLES / f"hello-{language}" / _CONFORMANCE, directory, dirs_exist_ok=True)
    _build(language, directory)


def deploy_example(
    client: Any,
    language: str,
    directory: Path,
    runtime: str = "provided.al2023",
    handler: str = "unused",
    **configuration: Any,
) -> Deployed:
    """Build the example of a language in a new `directory`, and make a function of it."""
    build_example(language, directory)
    files = [path for path in directory.rglob("*") if path.is_file()]
    example = BUILDS.get(language)
    if example is not None and example.environment:
        configuration.setdefault("Environment", {"Variables": dict(example.environment)})
    return deploy(
        client,
        {str(path.relative_to(directory)): path.read_bytes() for path in files},
        modes={str(path.relative_to(directory)): path.stat().st_mode & 0o777 for path in files},
        runtime=runtime,
        handler=handler,
        **configuration,
    )


def _copy(language: str, directory: Path) -> None:
    shutil.copytree(EXAMPLES / f"hello-{language}", directory, ignore=shutil.ignore_patterns(_CONFORMANCE))


def _build(language: str, directory: Path) -> None:
    example = BUILDS.get(language) or MANAGED.get(language)
    if example is None or not example.build:
        return
    try:
        done = subprocess.run(example.build, cwd=directory, capture_output=True, text=True, timeout=_BUILD_LIMIT)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildFailed(f"{example.build[0]}: {error}") from None
    if done.returncode != 0:
        raise BuildFailed(f"{' '.join(example.build)}:\n{done.stdout}{done.stderr}")
