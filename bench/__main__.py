"""`python -m bench [--only NAME ...] [--quick]`: measure, write bench/results, print the page.

Exit code 1 if a promise was missed, except with `--quick`, whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import plots, report
from bench.burst import measure_burst
from bench.cache_nodes import measure_cache_nodes
from bench.cold import measure_cold
from bench.control_plane import measure_control_plane
from bench.event_crashes import measure_event_crashes
from bench.fairness import measure_fairness
from bench.figures import Measurement
from bench.idle_memory import measure_memory
from bench.images.blocks import measure_image_blocks
from bench.images.check import measure_image_checks
from bench.images.corpus import missing_for_images
from bench.images.imports import measure_image_imports
from bench.images.kills import measure_image_kills
from bench.images.million import measure_many_files
from bench.images.sharing import measure_image_sharing
from bench.images.starts import measure_image_starts
from bench.layers import measure_layers, missing_for_layers
from bench.runtimes import measure_runtimes
from bench.setup import FULL, QUICK, Effort, Setup
from bench.snapstart import measure_snapstart
from bench.warm import measure_throughput, measure_warm

BENCHMARKS: dict[str, Callable[[Setup], Measurement]] = {
    "warm": measure_warm,
    "throughput": measure_throughput,
    "cold": measure_cold,
    "snapstart": measure_snapstart,
    "burst": measure_burst,
    "memory": measure_memory,
    "fairness": measure_fairness,
    "event-crashes": measure_event_crashes,
    "runtimes": measure_runtimes,
    "layers": measure_layers,
    "control-plane": measure_control_plane,
    "caches": measure_cache_nodes,
    "image-starts": measure_image_starts,
    "image-imports": measure_image_imports,
    "image-blocks": measure_image_blocks,
    "image-sharing": measure_image_sharing,
    "image-check": measure_image_checks,
    "image-kills": measure_image_kills,
    "image-million": measure_many_files,
}
IMAGES = tuple(name for name in BENCHMARKS if name.startswith("image-"))
"""Those that work on the corpus of images, which is built first where it is not in the cache: ten minutes, once."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    choices = (*BENCHMARKS, "images")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=choices,
        default=list(BENCHMARKS),
        help="which, by default all; images: all of those",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: seconds instead of minutes, written nowhere")
    options = parser.parse_args()
    wanted = {*options.only, *(IMAGES if "images" in options.only else ())}
    names = [name for name in BENCHMARKS if name in wanted]
    if options.quick:
        with tempfile.TemporaryDirectory(prefix="lambdad-results-") as folder:
            _measure(names, QUICK, Path(folder))
        return 0
    measured = _measure(names, FULL, report.RESULTS)
    missed = [row.what for measurement in measured for row in measurement.rows if "miss" in row.verdict]
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed else 0


def _measure(names: list[str], effort: Effort, folder: Path) -> list[Measurement]:
    machine = report.describe_machine()
    measured: list[Measurement] = []
    for name in names:
        if name in IMAGES and (missing := missing_for_images()):
            print(f"skipped: {report.TITLES[name]}: {missing}", flush=True)
            continue
        if name == "layers" and (missing := missing_for_layers()):
            print(f"skipped: {report.TITLES[name]}: {missing}", flush=True)
            continue
        print(f"measuring: {report.TITLES[name]} ...", flush=True)
        with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as temporary:
            measurement = BENCHMARKS[name](Setup(Path(temporary), effort))
        report.write_measurement(measurement, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), machine, folder)
        print(report.render_table(measurement.rows), flush=True)
        measured.append(measurement)
    documents = report.read_documents(folder)
    report.write_page(documents, folder)
    for path in plots.draw(documents, folder):
        print(f"drawn: {path}")
    return measured


if __name__ == "__main__":
    sys.exit(main())
