"""The functions that are measured, as code directories and as zips."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

ECHO = """
def handler(event, context):
    return event
"""
SLEEP = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    return event
"""
HANDLER = "app.handler"
EVENT = json.dumps({"key": "value"}).encode()
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
ONE_CPU_MB = 1769
"""MemorySize that gives a function one whole vCPU, which is what the programs that it is compared with have."""
_ROLE = "arn:aws:iam::000000000000:role/bench"


def write_code(folder: Path, source: str) -> Path:
    """A code directory, for runtimes that are started by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(source)
    return folder


def create_function(node: LocalNode, name: str, source: str, memory_mb: int = 128) -> None:
    """Create it and wait until it is active."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as output:
        output.writestr("app.py", source)
    client = node.client()
    client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Handler=HANDLER,
        Role=_ROLE,
        Code={"ZipFile": archive.getvalue()},
        MemorySize=memory_mb,
        Timeout=120,
    )
    wait_until(lambda: _configuration(client, name)["State"] == "Active", f"function {name} is active")


def refresh_function(client: Any, name: str, mark: str) -> None:
    """Change its environment, so that the next invoke needs a new sandbox."""
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"MARK": mark}})
    wait_until(
        lambda: _configuration(client, name)["LastUpdateStatus"] == "Successful", f"function {name} has been updated"
    )


def _configuration(client: Any, name: str) -> Any:
    return client.get_function_configuration(FunctionName=name)
