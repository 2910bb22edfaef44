"""What idle sandboxes of a Python function cost, and what the platform itself takes, as their number grows."""

from __future__ import annotations

import math

from bench import functions
from bench.figures import AtLeast, AtMost, Measurement, Row
from bench.process_memory import NOTHING, NodeMemory, count_sandboxes, measure_node
from bench.raw_http import INVOKE, build_request, run_lanes
from bench.setup import Setup
from lambdad.testing.local_node import LocalNode

BATCH = 100
"""Sandboxes of one function: as many invokes at once."""
MIB = 2**20
_SLEEP_SECONDS = 4
_SETTINGS = "keep_alive = 3600.0\nprepared = 0\nconcurrency = 2000\n"


def measure_memory(setup: Setup) -> Measurement:
    """MiB for each sandbox and for the platform, at each number of sandboxes."""
    rows: list[Row] = []
    samples: dict[str, list[float]] = {"sandboxes": [], "PSS": [], "USS": [], "platform PSS": []}
    largest = max(setup.effort.idle_sandboxes)
    with setup.node("memory", _SETTINGS) as node:
        for wanted in setup.effort.idle_sandboxes:
            _fill(node, wanted)
            memory = measure_node(node.process.pid)
            count = len(memory.sandboxes)
            pss, uss = _each(memory)
            platform = memory.platform.pss / MIB
            is_last = wanted == largest
            rows.append(Row(f"at {count}: PSS of a sandbox", pss, "MiB"))
            rows.append(Row(f"at {count}: USS of a sandbox", uss, "MiB", AtMost(6.0) if is_last else None))
            rows.append(Row(f"at {count}: PSS of the platform", platform, "MiB", AtMost(300.0) if is_last else None))
            for name, value in zip(samples, (count, pss, uss, platform), strict=True):
                samples[name].append(value)
        rows.append(Row("idle sandboxes at the same time", samples["sandboxes"][-1], "", AtLeast(largest)))
    return Measurement(name="memory", rows=tuple(rows), samples=samples)


def _fill(node: LocalNode, wanted: int) -> None:
    """Invoke new functions, many at once, until the node has `wanted` idle sandboxes."""
    present = count_sandboxes(node.process.pid)
    for number in range(math.ceil((wanted - present) / BATCH)):
        width = min(BATCH, wanted - present - number * BATCH)
        name = f"idle-{wanted}-{number}"
        functions.create_function(node, name, functions.SLEEP)
        request = build_request(INVOKE.format(name=name), f'{{"seconds": {_SLEEP_SECONDS}}}'.encode())
        run_lanes(node.port, [request] * width, 1, timeout=120.0)


def _each(memory: NodeMemory) -> tuple[float, float]:
    """(PSS, USS) of one sandbox, in MiB, on average."""
    total = sum(memory.sandboxes, NOTHING)
    count = max(len(memory.sandboxes), 1)
    return total.pss / MIB / count, total.uss / MIB / count
