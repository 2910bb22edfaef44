"""`lambdad runtime`: what the makers of runtimes need, without a server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from lambdad.cli.endpoint import JsonOption
from lambdad.cli.errors import CliError
from lambdad.cli.output import print_json, print_table

app = typer.Typer(add_completion=False)


@app.callback()
def _runtime() -> None:
    """Prove custom runtimes."""


@app.command()
def test(
    bootstrap: Annotated[Path, typer.Argument(help="The executable, or the directory that has it as `bootstrap`.")],
    patience: Annotated[float, typer.Option(min=0.1, max=900, help="Seconds for each step.")] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Run a runtime against a scripted Runtime API; see docs/runtimes.md. It runs as you, in no sandbox."""
    from lambdad.testing.runtime_conformance import Verdict, runtime_conformance

    program = bootstrap / "bootstrap" if bootstrap.is_dir() else bootstrap
    if not program.is_file() or not os.access(program, os.X_OK):
        raise CliError(f"{program} is no executable file: name the bootstrap, and chmod +x it")
    try:
        results = asyncio.run(runtime_conformance(program, patience=patience))
    except OSError as error:
        raise CliError(
            f"{program} does not start: {error.strerror}; look at its first line or its interpreter"
        ) from error
    if as_json:
        print_json([{"case": r.case, "verdict": r.verdict.value, "detail": r.detail} for r in results])
    else:
        print_table(("Case", "Verdict", "Detail"), [(r.case, r.verdict.value, r.detail) for r in results])
    if any(r.verdict is Verdict.FAILED for r in results):
        raise typer.Exit(1)
