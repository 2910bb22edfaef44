"""A function on a gigabyte of scientific Python: its first start on a worker, near and far from the chunks.

The same function is started from an image that was pulled and unpacked, in the same run: `skopeo copy`, `umoci unpack`,
and the interpreter with the same imports and no sandbox around it, which is less than any platform does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import functions
from bench.figures import AtLeast, AtMost, Measurement, Row
from bench.images.corpus import Corpus, open_corpus
from bench.images.origin import DELAYS_MS, OriginLog, drop_caches, origin_log
from bench.images.recipes import IMPORTS, LARGE, LAYERS, chain
from bench.raw_http import INVOKE, build_request, run_lanes
from bench.setup import Setup
from lambdad.node.paths import Paths
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

NAME = "science"
LIGHT = "light"
"""The same image without the imports, for a hundred at once."""
CONCURRENT = 100
_CACHES = ("chunk-cache",)
_TIMEOUT_S = 600.0


@dataclass(slots=True)
class _Seen:
    """Milliseconds by state of the caches, and what the origin was asked."""

    waited: dict[str, list[float]] = field(default_factory=dict)
    fetched: list[int] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)

    def add(self, state: str, waited_ms: float) -> None:
        self.waited.setdefault(state, []).append(waited_ms)


class _Bench:
    """One data directory with the image built into it; nodes come and go on it."""

    def __init__(self, setup: Setup, corpus: Corpus, log: OriginLog) -> None:
        self._corpus = corpus
        self._data = setup.directory / "node"
        self._log = log
        self.build_s = 0.0

    def prepare(self) -> None:
        """Create the functions: the image is pulled, flattened, cut and encrypted."""
        self._log.clear()
        with self._node(0.0) as node:
            started = time.perf_counter()
            for name, imports in ((NAME, IMPORTS), (LIGHT, "")):
                _create_function(node, name, self._corpus.references[LARGE], imports)
            self.build_s = time.perf_counter() - started

    def first_start(self, delay_ms: float, seen: _Seen, state: str) -> None:
        """One start on a node that has nothing of the image; and a second sandbox beside it."""
        if state == "cold":
            self._forget(traces=True)
        else:
            self._forget(traces=False)
        self._log.clear()
        with self._node(delay_ms) as node:
            drop_caches()
            self._log.clear()
            waited, timings = _invoke(node, NAME)
            seen.add(state, waited)
            if state == "cold":
                times, total = self._log.chunks()
                seen.fetched.append(total)
                seen.phases = timings
                assert times, "nothing was read from the origin"
                _refresh_function(node, NAME, str(time.monotonic_ns()))
                seen.add("local", _invoke(node, NAME)[0])
                wait_until(self._has_trace, "what the start read was recorded", 60.0)

    def concurrent_starts(self, delay_ms: float) -> tuple[list[float], float]:
        """Milliseconds of a hundred first starts at once, and origin reads for each different chunk."""
        self._forget(traces=True)
        with self._node(delay_ms) as node:
            self._log.clear()
            request = build_request(INVOKE.format(name=LIGHT), b"{}")
            answers = run_lanes(node.port, [request] * CONCURRENT, 1, _TIMEOUT_S)
            times, _ = self._log.chunks()
        return [waited for waited, _ in answers], times.total() / len(times)

    @contextlib.contextmanager
    def _node(self, delay_ms: float) -> Iterator[LocalNode]:
        environment = self._log.environment(delay_ms)
        with LocalNode.start(self._data, environment=environment) as node:
            yield node
            left = node.stop()
        if left:
            raise RuntimeError("the node left something behind:\n" + "\n".join(left))

    def _traces(self) -> list[Path]:
        return list(Paths(self._data).chunks.glob("*/traces/*"))

    def _has_trace(self) -> bool:
        return bool(self._traces())

    def _forget(self, *, traces: bool) -> None:
        for name in _CACHES:
            shutil.rmtree(self._data / "worker" / name, ignore_errors=True)
        if traces:
            for path in self._traces():
                path.unlink()


def measure_image_starts(setup: Setup) -> Measurement:
    """Needs root, the corpus, skopeo and umoci."""
    with open_corpus((LARGE,), _say) as corpus, origin_log() as log:
        bench = _Bench(setup, corpus, log)
        bench.prepare()
        size = sum(_directory_bytes(corpus.layers.path(name)) for name in chain(LARGE))
        seen = {delay: _Seen() for delay in DELAYS_MS}
        unpacked: list[float] = []
        for _ in range(setup.effort.rounds):
            unpacked.append(_pull_unpack_start(corpus.references[LARGE], setup.directory / "unpacked"))
            for delay in DELAYS_MS:
                bench.first_start(delay, seen[delay], "cold")
                bench.first_start(delay, seen[delay], "prefetch")
        waited, reads = bench.concurrent_starts(DELAYS_MS[1])
    return Measurement(
        name="image-starts",
        rows=(*_rows(seen, unpacked, size, bench.build_s), *_concurrent_rows(waited, reads)),
        samples={
            f"{delay:g} ms: {state}": values for delay in DELAYS_MS for state, values in seen[delay].waited.items()
        }
        | {"pull, unpack, start": unpacked},
        notes=(
            f"{len(LAYERS)} layers make the corpus; this image has {size / 1e6:,.0f} MB of files. The registry of "
            "pull and unpack has no latency. Caches of the kernel were dropped before each start.",
        ),
    )


def _rows(seen: dict[float, _Seen], unpacked: list[float], size: int, build_s: float) -> list[Row]:
    pulled = statistics.median(unpacked)
    fetched = statistics.median(amount for found in seen.values() for amount in found.fetched)
    rows = [
        Row("bytes of chunks fetched by the first start / bytes of files", 100 * fetched / size, "%", AtMost(25)),
        Row("skopeo copy, umoci unpack, start", pulled / 1000, "s"),
        Row("create two functions from the image, until active", build_s, "s"),
    ]
    for delay, found in seen.items():
        for state, what in (("cold", "cold caches"), ("prefetch", "prefetch"), ("local", "image on the worker")):
            waited = statistics.median(found.waited[state])
            rows.append(Row(f"origin at {delay:g} ms, {what}: request to response", waited, "ms"))
            if state == "cold":
                rows.append(
                    Row(f"origin at {delay:g} ms: pull, unpack, start / that", pulled / waited, "x", AtLeast(5))
                )
    return rows


def _concurrent_rows(waited: list[float], reads: float) -> list[Row]:
    return [
        # A read that takes longer than 95 of 100 is asked again: one in twenty at most, and none on a quiet machine.
        Row(f"{CONCURRENT} first starts at once: origin reads for each chunk", reads, "x", AtMost(1.05)),
        Row(f"{CONCURRENT} first starts at once: the last response", max(waited) / 1000, "s"),
    ]


def _create_function(node: LocalNode, name: str, uri: str, imports: str) -> None:
    client = node.client()
    client.create_function(
        FunctionName=name,
        PackageType="Image",
        Role="arn:aws:iam::000000000000:role/bench",
        Code={"ImageUri": uri},
        MemorySize=functions.ONE_CPU_MB if imports else 128,
        Timeout=120,
        Environment={"Variables": {"IMPORTS": imports}},
    )
    wait_until(lambda: _state(client, name) != "Pending", f"function {name} is active", _TIMEOUT_S)
    if _state(client, name) != "Active":
        raise RuntimeError(f"function {name}: {client.get_function_configuration(FunctionName=name)['StateReason']}")


def _state(client: Any, name: str) -> str:
    return str(client.get_function_configuration(FunctionName=name)["State"])


def _refresh_function(node: LocalNode, name: str, mark: str) -> None:
    """The next invoke needs a new sandbox."""
    client = node.client()
    variables = {"IMPORTS": IMPORTS, "MARK": mark}
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    wait_until(
        lambda: client.get_function_configuration(FunctionName=name)["LastUpdateStatus"] == "Successful",
        f"function {name} has been updated",
    )


def _invoke(node: LocalNode, name: str) -> tuple[float, dict[str, float]]:
    """Milliseconds from request to response, and what the node says of its parts."""
    [(waited, answer)] = run_lanes(node.port, [build_request(INVOKE.format(name=name), b"{}")], 1, _TIMEOUT_S)
    return waited, json.loads(answer.header("x-lambdad-timings") or "{}")


def _pull_unpack_start(reference: str, directory: Path) -> float:
    """Milliseconds from nothing to the end of a process with the same imports."""
    drop_caches()
    before = time.perf_counter()
    with unpacked_image(reference, directory) as root:
        module = "import importlib,sys; [importlib.import_module(name) for name in sys.argv[1].split(',')]"
        subprocess.run(["chroot", str(root), "python3", "-c", module, IMPORTS], check=True, timeout=_TIMEOUT_S)
        return (time.perf_counter() - before) * 1000


@contextlib.contextmanager
def unpacked_image(reference: str, directory: Path) -> Iterator[Path]:
    """An image of the registry as other tools unpack it; gone afterwards."""
    directory.mkdir(exist_ok=True)
    layout = directory / "oci"
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{layout}:image"]
    try:
        subprocess.run(copy, check=True, timeout=_TIMEOUT_S)
        unpack = ["umoci", "unpack", "--image", f"{layout}:image", str(directory / "bundle")]
        subprocess.run(unpack, check=True, capture_output=True, timeout=_TIMEOUT_S)
        yield directory / "bundle" / "rootfs"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _directory_bytes(root: Path) -> int:
    return sum(
        path.lstat().st_size
        for folder, _, names in os.walk(root)
        for path in (Path(folder, name) for name in names)
        if path.is_file() and not path.is_symlink()
    )


def _say(text: str) -> None:
    print(f"  {text}", flush=True)
