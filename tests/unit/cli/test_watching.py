"""Running again when files change."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import typer

from lambdad.cli.errors import CliError
from lambdad.cli.watching import run_once_or_watch


class Stopped(Exception):
    """Ends a watch that would go on until Ctrl-C."""


def test_without_watch_it_runs_once(tmp_path: Path) -> None:
    runs: list[int] = []
    run_once_or_watch(tmp_path, False, lambda: runs.append(1) or ())
    assert runs == [1]


def test_every_change_is_another_run_and_a_failure_is_not_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[int] = []

    def action() -> tuple[Path, ...]:
        runs.append(len(runs))
        # A write from inside of a run is a change that comes after it, whenever the watch began.
        threading.Timer(0.3, (tmp_path / "app.py").write_text, [f"{len(runs)}"]).start()
        if len(runs) == 2:
            raise CliError("it does not compile")
        if len(runs) == 3:
            raise Stopped
        return ()

    with pytest.raises(Stopped):
        run_once_or_watch(tmp_path, True, action)
    told = capsys.readouterr().err
    assert "changed: app.py" in told
    assert "error: it does not compile" in told


def test_what_was_read_elsewhere_is_watched_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, elsewhere, new = (tmp_path / name for name in ("here", "elsewhere", "new"))
    for directory in (here, elsewhere, new):
        directory.mkdir()
    read = [(elsewhere, here / "inside"), (elsewhere, new)]
    written = [elsewhere / "app.py", new / "app.py"]
    ended = threading.Event()

    def action() -> tuple[Path, ...]:
        if not read:
            raise Stopped
        return read.pop(0)

    def write_on() -> None:
        """Once more and once more, as nobody says when a watch begins."""
        while not ended.wait(0.2):
            written[1 - len(read)].write_text("1")

    writing = threading.Thread(target=write_on)
    writing.start()
    try:
        with pytest.raises(Stopped):
            run_once_or_watch(here, True, action)
    finally:
        ended.set()
        writing.join()
    told = capsys.readouterr().err
    assert f"watching {here}, {elsewhere}; Ctrl-C" in told
    assert f"changed: {elsewhere / 'app.py'}" in told
    assert f"watching {here}, {elsewhere}, {new}; Ctrl-C" in told
    assert f"changed: {new / 'app.py'}" in told


def test_the_first_failure_is_an_error(tmp_path: Path) -> None:
    def action() -> tuple[Path, ...]:
        raise CliError("no such runtime")

    with pytest.raises(CliError, match="no such runtime"):
        run_once_or_watch(tmp_path, True, action)


def test_an_image_cannot_be_watched() -> None:
    with pytest.raises(typer.BadParameter, match="needs files to watch"):
        run_once_or_watch(None, True, lambda: ())
