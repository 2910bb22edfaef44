"""The examples of custom runtimes: which tool each needs, and how it is built. For tests and benchmarks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lambdad.testing.deploying import Deployed, deploy

EXAMPLES = Path(__file__).parents[3] / "examples"

BUILDS: Mapping[str, tuple[str, Sequence[str]]] = {
    "bash": ("curl", ()),
    "perl": ("perl", ()),
    "ruby": ("ruby", ()),
    "php": ("php", ()),
    "java": ("javac", ("javac", "-d", ".", "Bootstrap.java")),
    "rust": ("rustc", ("rustc", "-O", "-C", "target-feature=+crt-static", "-o", "bootstrap", "bootstrap.rs")),
    "cpp": ("g++", ("g++", "-std=c++17", "-O2", "-static", "-o", "bootstrap", "bootstrap.cpp")),
}
"""By language: the tool that must be there, and the command that builds the example in its directory."""


def deploy_example(
    client: Any,
    language: str,
    directory: Path,
    runtime: str = "provided.al2023",
    handler: str = "unused",
    **configuration: Any,
) -> Deployed:
    """Build the example of a language in a new `directory`, and make a function of it."""
    shutil.copytree(EXAMPLES / f"hello-{language}", directory)
    _, build = BUILDS.get(language, ("", ()))
    if build:
        subprocess.run(build, cwd=directory, check=True, capture_output=True, timeout=300)
    files = [path for path in directory.iterdir() if path.is_file()]
    return deploy(
        client,
        {path.name: path.read_bytes() for path in files},
        modes={path.name: path.stat().st_mode & 0o777 for path in files},
        runtime=runtime,
        handler=handler,
        **configuration,
    )
