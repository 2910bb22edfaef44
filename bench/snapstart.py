"""Cold starts of a function that imports pandas: booted, from the zygote, and as forks of its snapshot, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

from bench import functions
from bench.figures import AtMost, Measurement, Row, percentile
from bench.raw_http import INVOKE, Connection, build_request
from bench.setup import Setup
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

NAME = "pandas"
SOURCE = """
import time
import pandas

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return len(pandas.DataFrame({"a": [1, 2, 3]}))
"""
PACKAGE = "pandas"
WAYS = {"booted": "zygotes = false\n", "zygote": "zygotes = true\n", "snapshot": "zygotes = true\n"}
LIMIT_MS = 40.0
MEMORY_MB = 1769
SLEEP = b'{"seconds": 1.0}'
SETTLE_S = 0.4
RESTORED_MAX = 20
ATTEMPTS = 3
_ROLE = "arn:aws:iam::000000000000:role/bench"


def measure_snapstart(setup: Setup) -> Measurement:
    """Each start is in an environment of its own, forced by a change of the function, or by its siblings being busy."""
    archive = _archive(setup.directory)
    samples: dict[str, list[float]] = {}
    for way, settings in WAYS.items():
        count = setup.effort.cold_starts if way == "snapshot" else max(5, setup.effort.cold_starts // 6)
        with setup.node(f"snapstart-{way}", settings) as node:
            _create(node, archive, way)
            samples[f"{way}: waited"] = (
                _restored(node, min(count, RESTORED_MAX)) if way == "snapshot" else _started(node, count)
            )
    middle = {way: percentile(samples[f"{way}: waited"], 50) for way in WAYS}
    rows = [
        Row("booted: request to response, p50", middle["booted"], "ms"),
        Row("zygote: request to response, p50", middle["zygote"], "ms"),
        Row("snapshot: request to response, p50", middle["snapshot"], "ms", AtMost(LIMIT_MS)),
        Row("snapshot: p90", percentile(samples["snapshot: waited"], 90), "ms"),
        Row("snapshot / booted, p50", middle["snapshot"] / middle["booted"], "", AtMost(1 / 20)),
    ]
    return Measurement(name="snapstart", rows=tuple(rows), samples=samples)


def _archive(directory: Path) -> bytes:
    """pandas with what it needs, as a developer's zip has it: installed for the interpreter, without its tests."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, PACKAGE]
        subprocess.run(command, check=True, timeout=600)
        output = BytesIO()
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            archive.writestr("app.py", SOURCE)
            for path in sorted(Path(folder).rglob("*")):
                inside = path.relative_to(folder)
                if path.is_file() and "tests" not in inside.parts and "__pycache__" not in inside.parts:
                    archive.write(path, str(inside))
        return output.getvalue()


def _create(node: LocalNode, archive: bytes, way: str) -> None:
    client = node.client()
    client.create_function(
        FunctionName=NAME,
        Runtime=functions.RUNTIME,
        Handler=functions.HANDLER,
        Role=_ROLE,
        Code={"ZipFile": archive},
        MemorySize=MEMORY_MB,
        Timeout=120,
        SnapStart={"ApplyOn": "PublishedVersions" if way == "snapshot" else "None"},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=NAME)


def _started(node: LocalNode, count: int) -> list[float]:
    client = node.client()
    request = build_request(INVOKE.format(name=NAME), functions.EVENT)
    waited = []
    for number in range(count):
        functions.refresh_function(client, NAME, str(number))
        milliseconds, is_cold = _call(node, request)
        if not is_cold:
            raise RuntimeError("the init phase failed, or the environment was there already")
        waited.append(milliseconds)
    return waited


def _restored(node: LocalNode, count: int) -> list[float]:
    """Publish once; each request comes while all environments that there are sleep, so that it needs another one."""
    client = node.client()
    client.publish_version(FunctionName=NAME)
    wait_until(lambda: _version(client)["State"] != "Pending", "the snapshot is made", 180)
    if _version(client)["SnapStart"]["OptimizationStatus"] != "On":
        raise RuntimeError(_version(client)["StateReason"])
    path = INVOKE.format(name=NAME) + "?Qualifier=1"
    waited: list[float] = []
    with ThreadPoolExecutor(count) as executor:
        for _ in range(ATTEMPTS * count):
            asleep = [executor.submit(_call, node, build_request(path, SLEEP)) for _ in waited]
            time.sleep(SETTLE_S)
            milliseconds, is_cold = _call(node, build_request(path, functions.EVENT))
            if is_cold:  # else one of the sleepers woke up first
                waited.append(milliseconds)
            for sleeper in asleep:
                sleeper.result()
            if len(waited) == count:
                return waited
    raise RuntimeError(f"only {len(waited)} of {ATTEMPTS * count} requests started an environment")


def _version(client: Any) -> Any:
    return client.get_function_configuration(FunctionName=NAME, Qualifier="1")


def _call(node: LocalNode, request: bytes) -> tuple[float, bool]:
    """Milliseconds, and whether an environment was started for it."""
    connection = Connection(node.port)
    try:
        before = time.perf_counter()
        answer = connection.call(request)
        waited = (time.perf_counter() - before) * 1000
    finally:
        connection.close()
    return waited, "init" in json.loads(answer.header("x-lambdad-timings") or "{}")
