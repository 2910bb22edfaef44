"""Two functions on a fresh node, each called cold and warm through boto3, and the proof that nothing is left.

Usage: demo.py DIRECTORY, with the interpreter in whose environment lambdad is installed. Exit code 0 if all went well.
"""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from lambdad.testing.local_node import LocalNode

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WARM_CALLS = 50
PHASES = ("queue", "sandbox", "code", "init", "duration", "total")
EVENT = {"name": "newcomer"}


@dataclass(frozen=True, slots=True)
class Example:
    """A function of examples/. runtime and handler as CreateFunction takes them."""

    name: str
    runtime: str
    handler: str


@dataclass(frozen=True, slots=True)
class Measured:
    """cold: milliseconds by phase. warm: milliseconds that the caller waited, one for each call."""

    example: Example
    answer: str
    cold: Mapping[str, float]
    warm: tuple[float, ...]


def main(directory: Path, console: Console) -> int:
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    examples = (Example("hello-python", python, "app.handler"), Example("hello-bash", "provided.al2023", "bootstrap"))
    started = time.monotonic()
    with LocalNode.start(directory / "data") as node:
        console.print(f"lambdad is up at {node.endpoint} after {time.monotonic() - started:.1f} s")
        try:
            measured = [_deploy_and_call(node, example) for example in examples]
        except Exception:
            console.print(node.output_tail(), markup=False, highlight=False)
            raise
        left = node.stop()
    console.print(_table(measured))
    for line in measured:
        console.print(f"{line.example.name} answered {line.answer}", markup=False, highlight=False, soft_wrap=True)
    if left:
        console.print("left behind:", *left, sep="\n  ", markup=False, highlight=False)
        return 1
    console.print("stopped; no process, mount, cgroup or loop device is left")
    return 0


def _deploy_and_call(node: LocalNode, example: Example) -> Measured:
    client = node.client()
    client.create_function(
        FunctionName=example.name,
        Runtime=example.runtime,
        Handler=example.handler,
        Role="arn:aws:iam::000000000000:role/demo",
        Code={"ZipFile": _zip(EXAMPLES / example.name)},
        MemorySize=512,
    )
    client.get_waiter("function_active_v2").wait(
        FunctionName=example.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    answer, cold = _call(client, example.name)
    warm: list[float] = []
    for _ in range(WARM_CALLS):
        before = time.perf_counter()
        _call(client, example.name)
        warm.append((time.perf_counter() - before) * 1000)
    return Measured(example, answer, cold, tuple(warm))


def _call(client: Any, name: str) -> tuple[str, Mapping[str, float]]:
    """The function's answer, and the phases of the invoke as the node measured them."""
    response = client.invoke(FunctionName=name, Payload=json.dumps(EVENT))
    answer = response["Payload"].read().decode()
    if "FunctionError" in response:
        raise RuntimeError(f"{name} failed: {answer}")
    return answer, json.loads(response["ResponseMetadata"]["HTTPHeaders"]["x-lambdad-timings"])


def _zip(folder: Path) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as output:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                output.write(path, path.relative_to(folder))  # keeps the mode: `bootstrap` stays executable
    return archive.getvalue()


def _table(measured: list[Measured]) -> Table:
    table = Table(title="Milliseconds: a cold start by phase, and warm calls as boto3 sees them", title_justify="left")
    table.add_column("function", no_wrap=True)
    for title in (*PHASES, f"warm p50 of {WARM_CALLS}", "warm best"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in measured:
        phases = [f"{line.cold[phase]:.1f}" if phase in line.cold else "-" for phase in PHASES]
        table.add_row(line.example.name, *phases, f"{median(line.warm):.2f}", f"{min(line.warm):.2f}")
    return table


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Console(width=None if sys.stdout.isatty() else 120)))
