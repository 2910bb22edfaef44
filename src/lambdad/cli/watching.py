"""Doing something again whenever files change."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import typer

from lambdad.cli.bundle import LEFT_OUT
from lambdad.cli.errors import CliError
from lambdad.cli.output import fail, note

_QUIET_MS = 50
"""After the last of several changes: editors write a file in steps."""
_LOOK_MS = 200


def run_once_or_watch(directory: Path | None, watch: bool, action: Callable[[], None]) -> None:
    """Run `action`; with `watch` again after every change below `directory`, until Ctrl-C.

    A failure ends the first run with its error, and later ones with a line only: the next change may mend it.
    """
    if watch and directory is None:
        raise typer.BadParameter("--watch needs files to watch: a directory or a template")
    action()
    if not watch or directory is None:
        return
    from watchfiles import watch as changes

    announced = False
    # It yields nothing now and then: once it has done so it sees every change, and may say that it watches.
    watched = changes(
        directory,
        watch_filter=_matters,
        debounce=4 * _QUIET_MS,
        step=_QUIET_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
    )
    for found in watched:
        if not announced:
            note(f"watching {directory}; Ctrl-C ends it")
            announced = True
        if not found:
            continue
        names = sorted({str(Path(path).relative_to(directory.resolve())) for _, path in found})
        note(f"changed: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
        started = time.monotonic()
        try:
            action()
            note(f"deployed in {time.monotonic() - started:.2f} s")
        except CliError as error:
            fail(str(error))


def _matters(_: object, path: str) -> bool:
    return not LEFT_OUT & set(Path(path).parts) and not path.endswith(("~", ".swp", ".pyc"))
