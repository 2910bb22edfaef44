"""Throughput of an endpoint with several connections: by wrk where it is installed, else by our own client."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bench.raw_http import build_request, run_lanes

_SCRIPT = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
wrk.headers["Content-Type"] = "application/json"
"""
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_ERRORS = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")
_BATCH = 200


def describe_tool() -> str:
    return "wrk" if shutil.which("wrk") else "a client of its own (wrk is not installed, which would cost less CPU)"


def measure_rate(port: int, path: str, body: bytes, connections: int, seconds: float) -> float:
    """Answers a second. Raises `RuntimeError` if any was an error."""
    if shutil.which("wrk"):
        return _run_wrk(port, path, body, connections, seconds)
    return _run_own(port, path, body, connections, seconds)


def _run_wrk(port: int, path: str, body: bytes, connections: int, seconds: float) -> float:
    with tempfile.TemporaryDirectory(prefix="lambdad-wrk-") as temporary:
        script = Path(temporary) / "post.lua"
        script.write_text(_SCRIPT.format(body=body.decode()))
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "30s",
            "-s",
            str(script),
        ]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], check=True, capture_output=True, text=True)
    errors = _ERRORS.search(done.stdout)
    rate = _RATE.search(done.stdout)
    if errors or rate is None:
        raise RuntimeError(f"wrk saw errors:\n{done.stdout}")
    return float(rate.group(1))


def _run_own(port: int, path: str, body: bytes, connections: int, seconds: float) -> float:
    request = build_request(path, body)
    started = time.perf_counter()
    answers, elapsed = 0, 0.0
    while elapsed < seconds:
        answers += len(run_lanes(port, [request] * connections, _BATCH, timeout=60.0))
        elapsed = time.perf_counter() - started
    return answers / elapsed
