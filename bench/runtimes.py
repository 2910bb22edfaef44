"""Warm latency by runtime: the examples of every language that this machine can build, one client each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from bench.figures import Measurement, Row, percentile
from bench.raw_http import INVOKE, build_request, measure_latency
from bench.setup import Setup
from lambdad.testing.example_layers import LayerFailed, deployed_example, why_no_layers
from lambdad.testing.examples import BUILDS

EVENT = b'{"name": "Ada"}'
ONE_CPU_MB = 1769
_WARM_UP = 0.3


@dataclass(frozen=True, slots=True)
class _Contender:
    """tool: the program that must be there. managed: runtime and handler; empty for the example's own runtime."""

    label: str
    language: str
    tool: str
    managed: tuple[str, ...] = ()

    def why_not(self) -> str:
        """Why this machine cannot run it; empty if it can."""
        if shutil.which(self.tool) is None:
            return f"{self.tool} is not installed"
        return why_no_layers() if self.language in BUILDS and BUILDS[self.language].layers else ""


def _contenders() -> Iterator[_Contender]:
    yield _Contender("Python, managed", "python", "python3", ("python3.11", "app.handler"))
    yield _Contender("Node.js, managed", "node", "node", ("nodejs20.x", "index.handler"))
    yield _Contender("Ruby, managed", "ruby", "ruby", ("ruby3.2", "function.handler"))
    yield _Contender("Java, managed", "java-managed", "javac", ("java17", "Hello::handler"))
    for language, example in BUILDS.items():
        yield _Contender(language, language, example.tool)


def measure_runtimes(setup: Setup) -> Measurement:
    """Milliseconds that one client waits."""
    series: dict[str, list[float]] = {}
    missing: list[str] = []
    load = os.getloadavg()[0]
    with setup.node("runtimes") as node:
        for contender in _contenders():
            if reason := contender.why_not():
                missing.append(f"{contender.label} ({reason})")
                continue
            directory = setup.directory / contender.label.replace(", ", "-")
            try:
                with deployed_example(
                    node.client(), contender.language, directory, *contender.managed, MemorySize=ONE_CPU_MB, Timeout=60
                ) as function:
                    request = build_request(INVOKE.format(name=function.name), EVENT)
                    measure_latency(node.port, request, _WARM_UP)
                    series[contender.label] = measure_latency(node.port, request, setup.effort.seconds)
            except LayerFailed as error:
                missing.append(f"{contender.label} ({error})")
    rows = [
        Row(f"{label}: {name}", percentile(values, percent), "ms")
        for label, values in series.items()
        for name, percent in (("p50", 50), ("p99", 99))
    ]
    notes = [f"Load average of the machine before it began: {load:.1f}."]
    if missing:
        notes.append(f"Not measured: {'; '.join(missing)}.")
    return Measurement(name="runtimes", rows=tuple(rows), samples=series, notes=tuple(notes))
