"""Examples of custom runtimes, built with the real toolchains and invoked on a node: an answer, an error, an answer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lambdad.testing.deploying import deploy

EXAMPLES = Path(__file__).parents[2] / "examples"
BUILDS: dict[str, tuple[str, Sequence[str]]] = {
    "bash": ("curl", ()),
    "perl": ("perl", ()),
    "ruby": ("ruby", ()),
    "php": ("php", ()),
    "java": ("javac", ("javac", "-d", ".", "Bootstrap.java")),
    "rust": ("rustc", ("rustc", "-O", "-C", "target-feature=+crt-static", "-o", "bootstrap", "bootstrap.rs")),
    "cpp": ("g++", ("g++", "-std=c++17", "-O2", "-static", "-o", "bootstrap", "bootstrap.cpp")),
}
"""By language: the tool that must be there, and how the example is built."""


@pytest.mark.parametrize("language", BUILDS)
def test_an_example_answers_fails_and_answers_again(language: str, lambda_client: Any, tmp_path: Path) -> None:
    tool, build = BUILDS[language]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    directory = tmp_path / language
    shutil.copytree(EXAMPLES / f"hello-{language}", directory)
    if build:
        subprocess.run(build, cwd=directory, check=True, capture_output=True, timeout=300)
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    configuration = {"runtime": "provided.al2023", "handler": "unused", "MemorySize": 512, "Timeout": 60}
    with deploy(lambda_client, files, modes=modes, **configuration) as function:
        for _ in range(2):
            assert "Ada" in str(function.invoke({"name": "Ada"}).value)
            if language != "bash":  # which takes every event
                failed = function.invoke({})
                assert failed.error == "Unhandled"
                assert failed.value["errorMessage"] == "no name in the event"
