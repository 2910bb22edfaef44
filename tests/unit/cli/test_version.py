"""`lambdad version` is quick."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from lambdad import __version__

Command = Callable[..., tuple[int, str, str]]


def test_the_version_is_printed(lambdad: Command) -> None:
    assert lambdad("version") == (0, f"lambdad {__version__}\n", "")
    assert json.loads(lambdad("version", "--json")[1])["lambdad"] == __version__


def test_the_version_needs_neither_boto3_nor_the_node() -> None:
    code = (
        "import sys; from lambdad.cli.main import run; run(['version']);"
        "print([name for name in ('boto3', 'botocore', 'rich', 'asyncio', 'lambdad.node.up') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == f"lambdad {__version__}\n[]\n"
