"""100 invokes at once of a function that sleeps a second: each needs a sandbox of its own."""

from __future__ import annotations

import time

from bench import functions
from bench.figures import AtMost, Measurement, Row
from bench.raw_http import INVOKE, build_request, run_lanes
from bench.setup import Setup

NAME = "sleep"
WIDTH = 100
EVENT = b'{"seconds": 1}'


def measure_burst(setup: Setup) -> Measurement:
    """Seconds of wall time until the last answer, with no sandbox and with all of them there."""
    request = build_request(INVOKE.format(name=NAME), EVENT)
    with setup.node("burst") as node:
        functions.create_function(node, NAME, functions.SLEEP)
        cold = _burst(node.port, request)
        warm = _burst(node.port, request)
    rows = (
        Row(f"{WIDTH} at once, no sandbox yet: wall time", cold, "s", AtMost(3.0)),
        Row(f"{WIDTH} at once, {WIDTH} sandboxes warm: wall time", warm, "s", AtMost(3.0)),
    )
    return Measurement(name="burst", rows=rows)


def _burst(port: int, request: bytes) -> float:
    before = time.perf_counter()
    run_lanes(port, [request] * WIDTH, 1, timeout=60.0)
    return time.perf_counter() - before
