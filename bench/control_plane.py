"""The control plane with 100, 1,000 and 10,000 functions of ten versions each: does an account's size slow it down?

The functions are written into the store of a node that does not run; what is measured are requests to the node that
finds them there.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import http.client
import io
import json
import time
import zipfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import functions
from bench.figures import AtMost, Measurement, Row, percentile
from bench.process_memory import measure_node
from bench.setup import Setup
from lambdad.node.paths import Paths
from lambdad.store.metadata import SqliteStore, Transaction
from lambdad.testing.local_node import LocalNode

VERSIONS = 10
ROUNDS = 60
BATCH = 500
"""Functions that one transaction writes."""
PATTERN = "function-{:05}"
OPERATIONS = ("create", "publish", "get", "list a page", "list versions", "invoke, the first time")
FLAT = 2.0
"""How much longer a request may take in the largest account than in the smallest: more than noise, less than 100."""

_FUNCTIONS = "/2015-03-31/functions"
_ROLE = "arn:aws:iam::000000000000:role/bench"


def measure_control_plane(setup: Setup) -> Measurement:
    """Medians in milliseconds by operation and number of functions; what a start takes, and what the node occupies.

    The nodes run beside each other and are asked in turns, so that all of them have the same machine.
    """
    sizes = setup.effort.functions
    samples: dict[str, list[float]] = {"functions": [float(size) for size in sizes], "start": [], "memory": []}
    with ExitStack() as running:
        accounts = []
        for size in sizes:
            node, took = _start(setup, size)
            running.enter_context(node)
            accounts.append(_Account(node, size))
            samples["start"].append(took)
        for operation in OPERATIONS:
            rounds = [[account.ask(operation, number) for account in accounts] for number in range(ROUNDS)]
            samples[operation] = [percentile(took, 50) for took in zip(*rounds, strict=True)]
        samples["memory"] = [measure_node(account.node.process.pid).platform.pss / 2**20 for account in accounts]
    return Measurement(name="control-plane", rows=tuple(_rows(sizes, samples)), samples=samples)


def _start(setup: Setup, size: int) -> tuple[LocalNode, float]:
    """A node that finds `size` functions, and the seconds until it was healthy."""
    data = setup.directory / f"with-{size}"
    with LocalNode.start(data) as node:
        functions.create_function(node, PATTERN.format(0), functions.ECHO)
    asyncio.run(_fill(Paths(data).database, size))
    before = time.perf_counter()
    node = LocalNode.start(data, timeout=300)
    return node, time.perf_counter() - before


def _rows(sizes: tuple[int, ...], samples: dict[str, list[float]]) -> list[Row]:
    rows = []
    for operation in OPERATIONS:
        first, last = samples[operation][0], samples[operation][-1]
        rows.append(Row(f"{operation}: median with {sizes[-1]:,} functions", last, "ms"))
        rows.append(Row(f"{operation}: {sizes[-1]:,} functions over {sizes[0]:,}", last / first, "x", AtMost(FLAT)))
    rows.append(Row(f"start of a node with {sizes[-1]:,} functions", samples["start"][-1], "s"))
    rows.append(Row(f"the platform's memory with {sizes[0]:,} functions", samples["memory"][0], "MiB"))
    rows.append(Row(f"the platform's memory with {sizes[-1]:,} functions", samples["memory"][-1], "MiB", AtMost(1024)))
    return rows


async def _fill(database: Path, size: int) -> None:
    """Copies of the first function, each with VERSIONS published versions."""
    store = SqliteStore(database)
    await store.open()
    for start in range(0, size, BATCH):
        numbers = range(start, min(start + BATCH, size))
        await store.write(lambda transaction, numbers=numbers: _write(transaction, numbers))  # type: ignore[misc]
    await store.close()


def _write(transaction: Transaction, numbers: range) -> None:
    (function, *_) = transaction.functions.all()
    latest = transaction.functions.version(function.namespace, function.name, "$LATEST")
    assert latest is not None
    for number in numbers:
        name = PATTERN.format(number)
        transaction.functions.put(replace(function, name=name, next_version=VERSIONS + 1))
        for version in ("$LATEST", *map(str, range(1, VERSIONS + 1))):
            transaction.functions.put_version(replace(latest, name=name, version=version))


class _Account:
    """A node with so many functions."""

    def __init__(self, node: LocalNode, size: int) -> None:
        self.node = node
        self._size = size
        self._connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)

    def ask(self, operation: str, number: int) -> float:
        """Milliseconds that one request takes."""
        before = time.perf_counter()
        match operation:
            case "create":
                self._send("POST", _FUNCTIONS, {"FunctionName": f"new-{number}", **_new_function()})
            case "publish":
                self._send("POST", f"{_FUNCTIONS}/new-{number}/versions", {})
            case "get":
                self._send("GET", f"{_FUNCTIONS}/{self._existing(number)}")
            case "list a page":
                self._send("GET", _FUNCTIONS)
            case "list versions":
                self._send("GET", f"{_FUNCTIONS}/{self._existing(number)}/versions")
            case _:
                self._send("POST", f"{_FUNCTIONS}/new-{number}/invocations", {})
        return (time.perf_counter() - before) * 1000

    def _existing(self, number: int) -> str:
        return PATTERN.format(number * 7919 % self._size)

    def _send(self, method: str, path: str, content: Any = None) -> None:
        self._connection.request(method, path, None if content is None else json.dumps(content))
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} was answered {response.status}: {text[:300]!r}")


@functools.cache
def _new_function() -> dict[str, Any]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as output:
        output.writestr("app.py", functions.ECHO)
    return {
        "Runtime": functions.RUNTIME,
        "Handler": functions.HANDLER,
        "Role": _ROLE,
        "Code": {"ZipFile": base64.b64encode(archive.getvalue()).decode()},
    }
