"""Errors as sentences, progress as lines."""

from __future__ import annotations

import io
import signal

import pytest
import typer
from rich.console import Console
from rich.table import Table

from lambdad.cli.packing import print_rich_table, reporting, status_line
from lambdad.pack.errors import PackError


@pytest.mark.parametrize("error", [PackError("no [base] here"), FileNotFoundError(2, "No such file", "x")])
def test_an_error_is_a_sentence_and_exit_status_1(error):
    stream = io.StringIO()
    with pytest.raises(typer.Exit) as caught, reporting(Console(file=stream)):
        raise error
    assert caught.value.exit_code == 1
    assert "error:" in stream.getvalue() and ("[base]" in stream.getvalue() or "No such file" in stream.getvalue())


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError), reporting(Console(file=io.StringIO())):
        1 / 0  # noqa: B018


def test_a_termination_unwinds_what_was_begun_and_only_while_it_goes_on():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), reporting(Console(file=io.StringIO())):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_terminal_each_step_is_a_line():
    stream = io.StringIO()
    with status_line(Console(file=stream)) as progress:
        progress.step("git", "install [5] packages")
    assert stream.getvalue().endswith("git: install [5] packages\n")


def test_a_table_in_a_pipe_is_as_wide_as_its_cells(capsys):
    arn = "arn:aws:lambda:eu-central-1:000000000000:layer:" + "x" * 140 + ":12"
    table = Table("ARN", "state")
    table.add_row(arn, "verified")
    print_rich_table(table)
    assert arn in capsys.readouterr().out


def test_an_error_in_a_pipe_is_one_line():
    stream = io.StringIO()
    with pytest.raises(typer.Exit), reporting(Console(file=stream, width=40)):
        raise PackError("a sentence that is longer than forty columns and must not be broken")
    assert stream.getvalue().count("\n") == 1


def test_on_a_terminal_a_bar_goes_on_with_each_stage():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    with status_line(console, ("resolve", "cli", "fpm")) as progress:
        for stage, doing in (("resolve", "packages"), ("base", "build"), ("cli", "install [5]"), ("fpm", "test")):
            progress.step(stage, doing)
    assert progress.completed == pytest.approx(2.2)
    assert "fpm: test" in stream.getvalue()
