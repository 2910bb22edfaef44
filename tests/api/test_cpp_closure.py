"""examples/hello-cpp linked dynamically: a layer brings the program and the libraries that the base lacks."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lambdad.testing.deploying import deploy
from lambdad.testing.example_layers import published, why_no_layers
from lambdad.testing.examples import EXAMPLES


def test_a_dynamic_program_travels_with_its_closure(lambda_client: Any, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    if reason := why_no_layers():
        pytest.skip(reason)
    shutil.copytree(EXAMPLES / "hello-cpp", tmp_path / "recipe")
    libraries = f"-Wl,-rpath,/opt/lib/{platform.machine()}-linux-gnu"
    build = ["g++", "-std=c++17", "-O2", libraries, "-o", "bootstrap", "bootstrap.cpp", "function.cpp"]
    subprocess.run(build, cwd=tmp_path / "recipe", check=True, timeout=300)
    layer = tmp_path / "hello-cpp.zip"
    # The recipe's own test runs the program's loader on a base that has no libstdc++.
    command = [sys.executable, "-m", "lambdad", "layer", "build", str(tmp_path / "recipe" / "layer.toml")]
    done = subprocess.run([*command, "-o", str(layer)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    names = [Path(name).name for name in zipfile.ZipFile(layer).namelist()]
    assert "bootstrap" in names
    assert "libstdc++.so.6" in names
    assert "libc.so.6" not in names, "what every system has is not packed"
    nothing = {"function": "in the layer"}
    with (
        published(lambda_client, [layer]) as arns,
        deploy(lambda_client, nothing, runtime="provided.al2023", handler="unused", Layers=arns) as function,
    ):
        assert function.invoke({"name": "Ada"}).value == {"message": "Hello, Ada, from C++!"}
