"""One function floods at ten times its limit; what another one's callers notice of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import functions
from bench.figures import AtMost, Measurement, Row, percentile
from bench.raw_http import INVOKE, build_request, measure_latency
from bench.setup import Setup

FLOOD = "flood"
QUIET = "quiet"
LIMIT = 10
CLIENTS = 10 * LIMIT
EVENT = b'{"seconds": 0.05}'
SERIES = ("quiet", "beside the flood")
_WARM_UP = 0.5
_DONE = re.compile(r"(\d+) requests in")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SCRIPT = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
wrk.headers["Content-Type"] = "application/json"
"""


class Flood:
    """`wrk` as a flood that goes on. answered, refused: requests so far, of all rounds."""

    def __init__(self, port: int, folder: Path) -> None:
        self.answered = 0
        self.refused = 0
        self._port = port
        self._script = folder / "flood.lua"
        self._script.write_text(_SCRIPT.format(body=EVENT.decode()))

    @contextmanager
    def running(self, seconds: float) -> Iterator[None]:
        """It runs for at least so long. Its clients come again as soon as they are refused, as bad clients do."""
        url = f"http://127.0.0.1:{self._port}{INVOKE.format(name=FLOOD)}"
        command = [
            "wrk",
            "-t1",
            f"-c{CLIENTS}",
            f"-d{round(seconds + 2)}s",
            "--timeout",
            "30s",
            "-s",
            str(self._script),
        ]
        process = subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True)
        try:
            yield
        finally:
            told, _ = process.communicate()
        done, refused = _DONE.search(told), _REFUSED.search(told)
        if done is None:
            raise RuntimeError(f"wrk said nothing that can be understood:\n{told}")
        self.refused += int(refused.group(1)) if refused else 0
        self.answered += int(done.group(1)) - (int(refused.group(1)) if refused else 0)


def measure_fairness(setup: Setup) -> Measurement:
    """Milliseconds that the one client of a small function waits, alone and beside the flood, in turns."""
    if shutil.which("wrk") is None:
        return Measurement(
            name="fairness", rows=(), notes=("Skipped: `wrk`, which makes the flood, is not installed.",)
        )
    request = build_request(INVOKE.format(name=QUIET), functions.EVENT)
    alone: list[float] = []
    beside: list[float] = []
    with setup.node("fairness") as node:
        functions.create_function(node, QUIET, functions.ECHO, functions.ONE_CPU_MB)
        functions.create_function(node, FLOOD, functions.SLEEP)
        node.client().put_function_concurrency(FunctionName=FLOOD, ReservedConcurrentExecutions=LIMIT)
        flood = Flood(node.port, setup.directory)
        seconds = setup.effort.seconds
        for _ in range(setup.effort.rounds):
            measure_latency(node.port, request, _WARM_UP)
            alone += measure_latency(node.port, request, seconds)
            with flood.running(seconds):
                measure_latency(node.port, request, _WARM_UP)
                beside += measure_latency(node.port, request, seconds)
    quiet = percentile(alone, 99)
    rows = (
        Row(f"flood: {CLIENTS} clients of a function with {LIMIT} reserved: answered", flood.answered, "requests"),
        Row("flood: throttled", flood.refused, "requests"),
        Row("another function, alone: p50", percentile(alone, 50), "ms"),
        Row("another function, alone: p99", quiet, "ms"),
        Row("another function, beside the flood: p50", percentile(beside, 50), "ms"),
        Row("another function, beside the flood: p99", percentile(beside, 99), "ms"),
        Row("p99 beside the flood / p99 alone", percentile(beside, 99) / quiet, "x", AtMost(2.0)),
    )
    return Measurement(name="fairness", rows=rows, samples=dict(zip(SERIES, (alone, beside), strict=True)))
