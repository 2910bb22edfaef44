"""What `lambdad layer` and `lambdad base` share: errors as sentences, progress on one line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from lambdad.pack.errors import PackError


@contextmanager
def reporting(console: Console) -> Iterator[None]:
    """Turn a PackError into a message and exit status 1."""
    try:
        yield
    except PackError as error:
        console.print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except OSError as error:
        console.print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


PIPE_WIDTH = 240
"""Columns of a table that nobody's terminal breaks: ARNs stay whole in the logs of a CI."""


def print_rich_table(table: Table) -> None:
    """Print to standard output, as wide as it has to be where that is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(table)


class StatusLine:
    """A build's progress: a spinner on a terminal, one line a step elsewhere."""

    def __init__(self, console: Console, status: Status | None) -> None:
        self._console = console
        self._status = status
        self._started = time.monotonic()

    def step(self, stage: str, doing: str) -> None:
        if self._status is not None:
            self._status.update(f"{stage}: {doing}")
        else:
            elapsed = time.monotonic() - self._started
            self._console.print(f"{elapsed:6.1f} s  {stage}: {doing}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def status_line(console: Console) -> Iterator[StatusLine]:
    """Shows progress while the block runs."""
    if not console.is_terminal:
        yield StatusLine(console, None)
        return
    with console.status("") as status:
        yield StatusLine(console, status)
