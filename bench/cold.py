"""Cold starts of a small Python function, as the caller sees them and in phases: from the zygote, and booted."""

from __future__ import annotations

import json
import time
from collections import defaultdict

from bench import functions
from bench.figures import AtMost, Measurement, Row, percentile
from bench.raw_http import INVOKE, Connection, build_request, measure_latency
from bench.setup import Setup
from lambdad.testing.local_node import LocalNode

NAME = "cold"
PHASES = ("queue", "sandbox", "code", "init", "duration")
WAYS = {"zygote": ("zygotes = true\n", 30.0), "booted": ("zygotes = false\n", 120.0)}
"""Name of the way to start -> (configuration, promised p50 in milliseconds)."""


def measure_cold(setup: Setup) -> Measurement:
    """Each start is forced by a change of the function's environment, and follows the update at once."""
    rows: list[Row] = []
    samples: dict[str, list[float]] = {}
    for way, (settings, limit) in WAYS.items():
        with setup.node(f"cold-{way}", settings) as node:
            phases = _collect(node, setup.effort.cold_starts)
        waited = phases.pop("waited")
        rows.append(Row(f"{way}: request to response, p50", percentile(waited, 50), "ms", AtMost(limit)))
        rows.append(Row(f"{way}: p90", percentile(waited, 90), "ms"))
        rows += [Row(f"{way}: {phase}, p50", percentile(phases[phase], 50), "ms") for phase in PHASES if phases[phase]]
        samples[f"{way}: waited"] = waited
        samples |= {f"{way}: {phase}": phases[phase] for phase in PHASES}
    return Measurement(name="cold", rows=tuple(rows), samples=samples)


def _collect(node: LocalNode, count: int) -> dict[str, list[float]]:
    """Milliseconds by phase, one of each for every start; `waited` is the client's own."""
    functions.create_function(node, NAME, functions.ECHO, functions.ONE_CPU_MB)
    client = node.client()
    request = build_request(INVOKE.format(name=NAME), functions.EVENT)
    measure_latency(node.port, request, 0.1)
    connection = Connection(node.port)
    phases: dict[str, list[float]] = defaultdict(list)
    try:
        for number in range(count):
            functions.refresh_function(client, NAME, str(number))
            waited, timings = _timed_call(connection, request)
            if "init" not in timings:
                raise RuntimeError(f"start {number} was not cold: {timings}")
            phases["waited"].append(waited)
            for phase in PHASES:
                phases[phase].append(timings.get(phase, 0.0))
    finally:
        connection.close()
    return phases


def _timed_call(connection: Connection, request: bytes) -> tuple[float, dict[str, float]]:
    before = time.perf_counter()
    answer = connection.call(request)
    waited = (time.perf_counter() - before) * 1000
    return waited, json.loads(answer.header("x-lambdad-timings") or "{}")
