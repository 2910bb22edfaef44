"""`kill -9` of whoever stands behind functions from images, two hundred times: the test with more rounds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import AtMost, Measurement, Row
from bench.setup import FULL, Setup

ROUNDS = 200
QUICK_ROUNDS = 4
_TEST = "tests/api/test_image_kills.py"
_TIMEOUT_S = 4 * 3600


def measure_image_kills(setup: Setup) -> Measurement:
    """Needs root, FUSE and a static busybox. What went wrong is on the terminal."""
    rounds = ROUNDS if setup.effort is FULL else QUICK_ROUNDS
    environment = {**os.environ, "LAMBDAD_KILL_ROUNDS": str(rounds)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(setup.directory / "t")]
    root = Path(__file__).parents[2]
    began = time.monotonic()
    done = subprocess.run([*command, _TEST], cwd=root, env=environment, timeout=_TIMEOUT_S, check=False)
    seconds = time.monotonic() - began
    return Measurement(
        name="image-kills",
        rows=(
            Row("rounds of SIGKILL: block agent, its supervisor, worker, builder of an image", float(rounds), ""),
            Row("runs that lost, leaked, hung or half-used something", float(done.returncode != 0), "", AtMost(0)),
            Row("all of it", seconds, "s"),
        ),
        notes=(
            "After each round the function answers with its own bytes; after all no mount, loop device, process, "
            "control group or temporary file is left.",
        ),
    )
