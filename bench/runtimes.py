"""Warm latency by runtime: the examples of every language that this machine can build, one client each."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Measurement, Row, percentile
from bench.raw_http import INVOKE, build_request, measure_latency
from bench.setup import Setup
from lambdad.testing.deploying import deploy

EXAMPLES = Path(__file__).parents[1] / "examples"
EVENT = b'{"name": "Ada"}'
_WARM_UP = 0.3
_PROVIDED = ("provided.al2023", "unused")

LANGUAGES: dict[str, tuple[str, tuple[str, str], Sequence[str]]] = {
    "python": ("python3", ("python3.11", "app.handler"), ()),
    "node": ("node", ("nodejs20.x", "index.handler"), ()),
    "rust": (
        "rustc",
        _PROVIDED,
        ("rustc", "-O", "-C", "target-feature=+crt-static", "-o", "bootstrap", "bootstrap.rs"),
    ),
    "cpp": ("g++", _PROVIDED, ("g++", "-std=c++17", "-O2", "-static", "-o", "bootstrap", "bootstrap.cpp")),
    "perl": ("perl", _PROVIDED, ()),
    "ruby": ("ruby", _PROVIDED, ()),
    "php": ("php", _PROVIDED, ()),
    "java": ("javac", _PROVIDED, ("javac", "-d", ".", "Bootstrap.java")),
    "bash": ("curl", _PROVIDED, ()),
}
"""By language: the tool that must be there, runtime and handler, and how the example is built."""


def measure_runtimes(setup: Setup) -> Measurement:
    """Milliseconds that one client waits."""
    series: dict[str, list[float]] = {}
    missing = []
    with setup.node("runtimes") as node:
        client = node.client()
        for language, (tool, (runtime, handler), build) in LANGUAGES.items():
            if shutil.which(tool) is None:
                missing.append(language)
                continue
            directory = setup.directory / language
            shutil.copytree(EXAMPLES / f"hello-{language}", directory)
            if build:
                subprocess.run(build, cwd=directory, check=True, capture_output=True, timeout=300)
            files = [path for path in directory.iterdir() if path.is_file()]
            function = deploy(
                client,
                {path.name: path.read_bytes() for path in files},
                modes={path.name: path.stat().st_mode & 0o777 for path in files},
                runtime=runtime,
                handler=handler,
                MemorySize=1769,
            )
            request = build_request(INVOKE.format(name=function.name), EVENT)
            measure_latency(node.port, request, _WARM_UP)
            series[language] = measure_latency(node.port, request, setup.effort.seconds)
    rows = [
        Row(f"{language}: {name}", percentile(values, percent), "ms")
        for language, values in series.items()
        for name, percent in (("p50", 50), ("p99", 99))
    ]
    notes = (f"Not measured, their tools are not installed: {', '.join(missing)}.",) if missing else ()
    return Measurement(name="runtimes", rows=tuple(rows), samples=series, notes=notes)
