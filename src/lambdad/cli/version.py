"""`lambdad version`."""

from __future__ import annotations

import platform

import typer

from lambdad import __version__
from lambdad.cli.endpoint import JsonOption
from lambdad.cli.output import print_json, print_line

app = typer.Typer(add_completion=False)


@app.command()
def version(as_json: JsonOption = False) -> None:
    """Print the version."""
    if as_json:
        print_json({"lambdad": __version__, "python": platform.python_version(), "machine": platform.machine()})
    else:
        print_line(f"lambdad {__version__}")
