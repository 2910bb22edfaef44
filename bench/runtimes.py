"""Warm latency by runtime: the examples of every language that this machine can build, one client each."""

from __future__ import annotations

import shutil

from bench.figures import Measurement, Row, percentile
from bench.raw_http import INVOKE, build_request, measure_latency
from bench.setup import Setup
from lambdad.testing.examples import BUILDS, deploy_example

EVENT = b'{"name": "Ada"}'
ONE_CPU_MB = 1769
MANAGED = {"python": ("python3.11", "app.handler"), "node": ("nodejs20.x", "index.handler")}
"""Examples under runtimes of AWS's: runtime and handler."""
TOOLS = {"python": "python3", "node": "node", **{language: tool for language, (tool, _) in BUILDS.items()}}
_WARM_UP = 0.3


def measure_runtimes(setup: Setup) -> Measurement:
    """Milliseconds that one client waits."""
    series: dict[str, list[float]] = {}
    missing = [language for language, tool in TOOLS.items() if shutil.which(tool) is None]
    with setup.node("runtimes") as node:
        for language in (name for name in TOOLS if name not in missing):
            managed = MANAGED.get(language, ())
            directory = setup.directory / language
            function = deploy_example(node.client(), language, directory, *managed, MemorySize=ONE_CPU_MB)
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
