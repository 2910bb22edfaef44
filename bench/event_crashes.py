"""Asynchronous events while processes are killed: every event that was accepted ends once, in success or in failure.

A steady stream of events, each seventh of which fails at every attempt; at random moments SIGKILL for the worker, the
API process, or the whole node, which is then started again. Afterwards each event must have exactly one record.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from bench.figures import AtLeast, AtMost, Measurement, Row, percentile
from bench.raw_http import INVOKE
from bench.setup import Setup
from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

RATE = 200
"""Events a second."""
LANES = 8
FULL_S, QUICK_S = 300.0, 15.0
KILL_PAUSE_S = (2.0, 8.0)
"""Between two kills, at random."""
SETTLE_S = 300.0
SETTINGS = "retry_delays = [0.1, 0.2]\n"
SOURCE = "def handler(event, context):\n    return 1 // event['n']\n"
TARGETS = ("worker", "api", "node")


class Stream:
    """Sends events at a steady rate, whatever happens to the node. accepted: by request id, whether it will succeed."""

    def __init__(self, name: str, seconds: float) -> None:
        self.accepted: dict[str, bool] = {}
        self.refused = 0
        self.latencies: list[float] = []
        self._path = INVOKE.format(name=name)
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self.port = 0
        self._lanes = [threading.Thread(target=self._send, args=(lane,)) for lane in range(LANES)]

    def start(self, port: int) -> None:
        self.port = port
        for lane in self._lanes:
            lane.start()

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def join(self) -> None:
        for lane in self._lanes:
            lane.join()

    def _send(self, lane: int) -> None:
        connection: http.client.HTTPConnection | None = None
        due, number = time.monotonic() + lane / RATE, lane
        while not self.is_over:
            time.sleep(max(due - time.monotonic(), 0.0))
            due = max(due + LANES / RATE, time.monotonic() - 1.0)
            number += LANES
            will_succeed = number % 7 != 0
            before = time.perf_counter()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                request_id = self._accept(connection, 1 if will_succeed else 0)
            except (OSError, http.client.HTTPException):
                request_id = None
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.05)
            with self._lock:
                if request_id is None:
                    self.refused += 1
                else:
                    self.accepted[request_id] = will_succeed
                    self.latencies.append((time.perf_counter() - before) * 1000)
        if connection is not None:
            connection.close()

    def _accept(self, connection: http.client.HTTPConnection, n: int) -> str | None:
        connection.request("POST", self._path, json.dumps({"n": n}), {"X-Amz-Invocation-Type": "Event"})
        answer = connection.getresponse()
        answer.read()
        return answer.headers["x-amzn-requestid"] if answer.status == 202 else None


class Lives:
    """A node that is killed and started again. node: the one that runs now."""

    def __init__(self, setup: Setup) -> None:
        self.data = setup.directory / "crashes"
        self._configuration = setup.directory / "crashes.toml"
        self._configuration.write_text(SETTINGS)
        self.node = self._start()

    def restart(self) -> None:
        self.node.kill()
        self.node = self._start()

    def end(self) -> None:
        """Whatever happened: nothing runs on."""
        if self.node.process.poll() is None:
            self.node.kill()

    def _start(self) -> LocalNode:
        return LocalNode.start(self.data, arguments=["--config", str(self._configuration)])


def measure_event_crashes(setup: Setup) -> Measurement:
    """Counts of events by how they ended."""
    lives = Lives(setup)
    try:
        return _measure(lives, FULL_S if setup.effort.rounds > 1 else QUICK_S)
    finally:
        lives.end()


def _measure(lives: Lives, seconds: float) -> Measurement:
    function = deploy_python(lives.node.client(), SOURCE)
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        MaximumRetryAttempts=1,
        DestinationConfig={
            "OnSuccess": {"Destination": "arn:aws:lambdad:::file/good"},
            "OnFailure": {"Destination": "arn:aws:lambdad:::file/bad"},
        },
    )
    stream = Stream(function.name, seconds)
    stream.start(lives.node.port)
    try:
        kills = _storm(lives, stream, random.Random(seconds))
    finally:
        stream.join()
    data = lives.data
    wait_until(lambda: stream.accepted.keys() <= set().union(*_records(data)), "a record of each event", SETTLE_S)
    good, bad = _records(data)
    left = lives.node.stop()
    return Measurement(name="event-crashes", rows=_rows(stream, kills, good, bad, len(left)))


def _storm(lives: Lives, stream: Stream, chance: random.Random) -> Counter[str]:
    """Kill one target after the other until the stream is over. Returns how often each."""
    kills: Counter[str] = Counter()
    while not stream.is_over:
        time.sleep(chance.uniform(*KILL_PAUSE_S))
        target = TARGETS[kills.total() % len(TARGETS)]
        if target == "node":
            lives.restart()
            stream.port = lives.node.port
        else:
            _kill(lives.node, target)
        kills[target] += 1
    return kills


def _kill(node: LocalNode, role: str) -> None:
    for process in node.holdings().processes:
        with suppress(OSError):
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            if f"lambdad.node.{role}".encode() in words:
                os.kill(process.pid, signal.SIGKILL)
                return


def _records(data: Path) -> tuple[set[str], set[str]]:
    found = (data / "destinations" / name for name in ("good", "bad"))
    good, bad = ({path.name.partition(".")[0] for path in directory.glob("*.json")} for directory in found)
    return good, bad


def _rows(stream: Stream, kills: Counter[str], good: set[str], bad: set[str], left: int) -> tuple[Row, ...]:
    accepted = stream.accepted
    wrong = sum((name in good) != will_succeed for name, will_succeed in accepted.items())
    return (
        Row("events accepted", len(accepted), ""),
        Row("events refused while a process was gone", stream.refused, ""),
        *(Row(f"SIGKILL: {target}", kills[target], "") for target in TARGETS),
        Row("accepted, with a record of success", len(accepted.keys() & good), ""),
        Row("accepted, with a record of failure", len(accepted.keys() & bad), ""),
        Row(
            "share of accepted events with a record",
            len(accepted.keys() & (good | bad)) / len(accepted),
            "x",
            AtLeast(1.0),
        ),
        Row("records in both", len(good & bad), "", AtMost(0)),
        Row("ended as it should not", wrong, "", AtMost(0)),
        Row("left behind on the host", left, "", AtMost(0)),
        Row("accept, at 200/s on a machine that runs them, too: p50", percentile(stream.latencies, 50), "ms"),
        Row("the same: p99", percentile(stream.latencies, 99), "ms"),
    )
