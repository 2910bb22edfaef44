"""What the commands print: results to standard output, everything else to standard error.

Tables and colours are for terminals; a pipe gets plain aligned text or, with `--json`, JSON. rich is imported only
where a terminal is there to see it.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

_CONTROL = dict.fromkeys([*range(32), 127, *range(128, 160)])
_LINE_SAFE = {code: None for code in _CONTROL if code != 9}


def print_json(value: Any) -> None:
    """A machine's result: one JSON document."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))  # noqa: T201


def print_line(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def note(text: str) -> None:
    """A remark for the person, not part of the result."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def fail(text: str) -> None:
    """The line that explains exit status 1."""
    line = one_line(text)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True).print(Text.assemble(("error: ", "bold red"), (line, "red")), soft_wrap=True)
    else:
        note(f"error: {line}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headings, on standard output; headings that are all empty are left out."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich_table(columns, cells)
    else:
        for line in plain_table(columns, cells):
            print_line(line)


def note_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headings, on standard error: for what accompanies a result."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    if sys.stderr.isatty():
        _print_rich_table(columns, cells, stderr=True)
    else:
        for line in plain_table(columns, cells):
            note(line)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in columns two spaces apart."""
    headings = [list(columns)] if any(columns) else []
    lines = [*headings, *map(list, rows)]
    widths = [max((len(line[index]) for line in lines), default=0) for index in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Shows on a terminal that something takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def one_line(text: str) -> str:
    """Text without line ends and terminal control sequences: it may come from a function or a server."""
    return " ".join(text.split("\n")).translate(_CONTROL) if text else text


def terminal_safe(text: str) -> str:
    """A line of a log without control sequences, tabs kept."""
    return text.translate(_LINE_SAFE)


def size(count: int | None) -> str:
    """Bytes for people: `12.3 MB`."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the loop returns")


def _print_rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, stderr: bool = False) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns))
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console(stderr=stderr).print(table)
