"""`import boto3, numpy, requests` from an image whose chunks are far away, against a directory on the local disk.

Nothing is in memory in either case. The image was started once before, so what it reads is known and fetched ahead; its
time includes mounting it.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import AtMost, Measurement, Row
from bench.images.corpus import open_corpus
from bench.images.mounted import TINY
from bench.images.origin import DELAYS_MS, OriginLog, drop_caches, origin_log
from bench.images.recipes import IMPORTS, LARGE
from bench.images.starts import unpacked_image
from bench.setup import Setup
from lambdad.cli.image_pull import parse_platform, pull_image
from lambdad.cli.image_store import ImageStore

_COMMAND = ("python3", "-B", "-c", f"import {IMPORTS}")
_PROMISES = {0.0: None, 2.75: AtMost(1.3), 36.0: AtMost(1.6)}


def measure_image_imports(setup: Setup) -> Measurement:
    """Needs root, the corpus, skopeo and umoci."""
    with open_corpus((LARGE,), lambda text: print(f"  {text}", flush=True)) as corpus, origin_log() as log:
        reference = corpus.references[LARGE]
        store = ImageStore(setup.directory / "store")
        tiny = setup.directory / TINY
        tiny.mkdir()
        (tiny / "file").write_text("tiny")
        for source, name in ((reference, "image"), (f"dir:{tiny}", TINY)):
            asyncio.run(pull_image(store, source, name, parse_platform(""), None))
        with unpacked_image(reference, setup.directory / "unpacked") as root:
            _from_image(store, 0.0, log)  # recorded here
            native: list[float] = []
            image: dict[float, list[float]] = {delay: [] for delay in DELAYS_MS}
            for _ in range(setup.effort.rounds):
                native.append(_from_directory(root))
                for delay, found in image.items():
                    found.append(_from_image(store, delay, log))
    base = statistics.median(native)
    rows = [Row("from a directory, caches dropped", base, "ms")]
    for delay, found in image.items():
        waited = statistics.median(found)
        rows.append(Row(f"from the image, origin at {delay:g} ms", waited, "ms"))
        rows.append(Row(f"origin at {delay:g} ms: image / directory", waited / base, "x", _PROMISES[delay]))
    samples = {"directory": native} | {f"image, {delay:g} ms": found for delay, found in image.items()}
    return Measurement(name="image-imports", rows=tuple(rows), samples=samples)


def _from_directory(root: Path) -> float:
    drop_caches()
    before = time.perf_counter()
    subprocess.run(["chroot", str(root), *_COMMAND], check=True, timeout=120)
    return (time.perf_counter() - before) * 1000


def _from_image(store: ImageStore, delay_ms: float, log: OriginLog) -> float:
    command = [sys.executable, "-m", "bench.images.mounted", str(store.directory), "image", *_COMMAND]
    environment = log.environment(delay_ms)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, timeout=300)
    return float(done.stdout)
