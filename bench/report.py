"""Measurements as files: a JSON each, and one Markdown page of all that are there. Names the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Measurement, Row, from_json, to_json

RESULTS = Path(__file__).parent / "results"
TITLES = {
    "warm": "Warm latency, one client",
    "throughput": "Warm throughput",
    "cold": "Cold start",
    "snapstart": "Cold start of a function that imports pandas",
    "burst": "100 concurrent invokes of a function that sleeps 1 s",
    "memory": "Memory of idle Python sandboxes",
    "fairness": "One function beside the flood of another",
    "event-crashes": "Asynchronous events while processes are killed",
    "runtimes": "Warm latency by runtime",
    "layers": "Layers from Debian packages",
    "control-plane": "The control plane with 10,000 functions of ten versions each",
    "caches": "Cold starts when cache nodes fail",
    "image-starts": "First start of a function on a gigabyte of scientific Python",
    "image-imports": "`import boto3, numpy, requests` from an image with prefetch",
    "image-blocks": "Making images, reading blocks",
    "image-sharing": "What a corpus of images costs",
    "image-check": "Every image of the corpus against its reference",
    "image-kills": "Functions from images while processes are killed",
    "image-million": "An image of a million files",
}
"""The benchmarks in the order of the page."""


def describe_machine() -> str:
    """CPU, cores, memory, kernel and interpreter: what the figures are bound to."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores, {gibibytes:.0f} GiB, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def write_measurement(measurement: Measurement, taken: str, machine: str, folder: Path = RESULTS) -> None:
    """taken: when, as text."""
    folder.mkdir(exist_ok=True)
    document = {"taken": taken, "machine": machine, **to_json(measurement)}
    (folder / f"{measurement.name}.json").write_text(json.dumps(document, indent=1) + "\n")


def read_documents(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The JSON files of the known benchmarks, in the order of the page."""
    paths = [folder / f"{name}.json" for name in TITLES]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def write_page(documents: Sequence[Mapping[str, Any]], folder: Path = RESULTS) -> str:
    """Write latest.md and return its text."""
    page = render_page(documents)
    (folder / "latest.md").write_text(page)
    return page


def render_page(documents: Sequence[Mapping[str, Any]]) -> str:
    """The page: one table for each benchmark, each with its machine and time."""
    parts = ["# Benchmarks\n", "Made by `make bench`. Compared programs ran interleaved, in the same run.\n"]
    for document in documents:
        measurement = from_json(document)
        parts.append(f"## {TITLES[measurement.name]}\n")
        parts.append(render_table(measurement.rows))
        parts += [f"{note}\n" for note in measurement.notes]
        parts.append(f"Taken {document['taken']} on {document['machine']}.\n")
    return "\n".join(parts)


def render_table(rows: Sequence[Row]) -> str:
    """Markdown: what, value, promise, pass or miss."""
    lines = ["| what | measured | promise | |", "|---|---:|---|---|"]
    lines += [f"| {row.what} | {_number(row.value)} {row.unit} | {row.promise or ''} | {row.verdict} |" for row in rows]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """Three significant digits, and whole numbers from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"
