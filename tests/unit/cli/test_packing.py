"""Errors as sentences, progress as lines."""

from __future__ import annotations

import io

import pytest
import typer
from rich.console import Console

from lambdad.cli.packing import reporting, status_line
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


def test_without_a_terminal_each_step_is_a_line():
    stream = io.StringIO()
    with status_line(Console(file=stream)) as progress:
        progress.step("git", "install [5] packages")
    assert stream.getvalue().endswith("git: install [5] packages\n")
