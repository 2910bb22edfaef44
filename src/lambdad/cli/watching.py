"""Doing something again whenever files change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import typer

from lambdad.cli.bundle import is_left_out
from lambdad.cli.errors import CliError
from lambdad.cli.output import fail, note

_QUIET_MS = 50
"""After the last of several changes: editors write a file in steps."""
_LOOK_MS = 200


def run_once_or_watch(directory: Path | None, watch: bool, action: Callable[[], Iterable[Path]]) -> None:
    """Run `action`; with `watch` again after every change below `directory`, until Ctrl-C.

    action: returns the files and directories that it read, wherever they are: they are watched as well. A failure ends
    the first run with its error, and later ones with a line only: the next change may mend it.
    """
    if watch and directory is None:
        raise typer.BadParameter("--watch needs files to watch: a directory or a template")
    places = tuple(action())
    if not watch or directory is None:
        return
    while True:
        places = _watch_until_moved(directory, places, action)


def wait_for_change(directory: Path) -> None:
    """Return when something below `directory` has changed."""
    from watchfiles import watch as changes

    next(changes(directory, watch_filter=_matters, debounce=4 * _QUIET_MS, step=_QUIET_MS), None)


def _watch_until_moved(
    directory: Path, places: tuple[Path, ...], action: Callable[[], Iterable[Path]]
) -> tuple[Path, ...]:
    """Run `action` after every change of `directory` and `places`, until it returns other places than those."""
    from watchfiles import watch as changes

    roots = _outermost([directory, *places])
    announced = False
    # It yields nothing now and then: once it has done so it sees every change, and may say that it watches.
    watched = changes(
        *roots,
        watch_filter=_matters,
        debounce=4 * _QUIET_MS,
        step=_QUIET_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
    )
    for found in watched:
        if not announced:
            note(f"watching {', '.join(map(str, roots))}; Ctrl-C ends it")
            announced = True
        if not found:
            continue
        names = sorted({_shown(Path(path), directory) for _, path in found})
        note(f"changed: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
        started = time.monotonic()
        try:
            read = tuple(action())
        except CliError as error:
            fail(str(error))
            continue
        note(f"deployed in {time.monotonic() - started:.2f} s")
        if _outermost([directory, *read]) != roots:
            return read
    return places


def _outermost(places: Sequence[Path]) -> list[Path]:
    """Those that are there and lie in none of the others; the first as it was given."""
    first, *others = places
    kept = [first]
    for place in sorted({other.resolve() for other in others if other.exists()}):
        if not any(place.is_relative_to(other.resolve()) for other in kept):
            kept.append(place)
    return kept


def _shown(path: Path, directory: Path) -> str:
    root = directory.resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _matters(_: object, path: str) -> bool:
    return not is_left_out(path) and not path.endswith(("~", ".swp", ".pyc"))
