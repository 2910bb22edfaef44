"""What `lambdad layer` and `lambdad base` share: errors as sentences, progress as a bar or lines, tables."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from lambdad.pack.errors import PackError


@contextmanager
def reporting(console: Console) -> Iterator[None]:
    """Turn a PackError, or an OSError, into a message and exit status 1.

    Being terminated is as Ctrl-C, so that what was begun (tests in sandboxes, scratch directories) is taken away.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (PackError, OSError) as error:
        console.print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


_STEPS = 5
"""Of most stages: install, relocate, prune, list, test."""
PIPE_WIDTH = 240
"""Columns of a table that nobody's terminal breaks: ARNs stay whole in the logs of a CI."""


def print_rich_table(table: Table) -> None:
    """Print to standard output, as wide as it has to be where that is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(table)


class StatusLine:
    """A build's progress: a bar on a terminal, one line a step elsewhere.

    parts: what comes one after the other, each a step of the bar: `resolve`, and the stages by name.
    """

    def __init__(self, console: Console, bar: Progress | None, parts: Sequence[str]) -> None:
        self._console = console
        self._bar = bar
        self._parts = list(parts)
        self._task = None if bar is None else bar.add_task("", total=len(parts) or None)
        self._steps: Counter[str] = Counter()
        self._started = time.monotonic()

    @property
    def completed(self) -> float:
        """How many parts the bar shows as done."""
        return 0.0 if self._bar is None or self._task is None else self._bar.tasks[self._task].completed

    def step(self, stage: str, doing: str) -> None:
        if self._bar is None or self._task is None:
            elapsed = time.monotonic() - self._started
            self._console.print(f"{elapsed:6.1f} s  {stage}: {doing}", highlight=False, markup=False, soft_wrap=True)
            return
        self._steps[stage] += 1
        done = None
        if stage in self._parts:
            done = self._parts.index(stage) + min(self._steps[stage], _STEPS - 1) / _STEPS
        self._bar.update(self._task, completed=done, description=f"{stage}: {doing}")


@contextmanager
def status_line(console: Console, parts: Sequence[str] = ()) -> Iterator[StatusLine]:
    """Shows progress while the block runs. parts: see `StatusLine`."""
    if not console.is_terminal:
        yield StatusLine(console, None, parts)
        return
    words = TextColumn("{task.description}", markup=False)
    with Progress(SpinnerColumn(), words, BarColumn(30), TimeElapsedColumn(), console=console, transient=True) as bar:
        yield StatusLine(console, bar, parts)
