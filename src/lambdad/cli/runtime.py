"""`lambdad runtime`: what the makers of runtimes need, without a server."""

from __future__ import annotations

import asyncio
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lambdad.cli.dependencies import with_dependencies
from lambdad.cli.endpoint import JsonOption
from lambdad.cli.errors import CliError
from lambdad.cli.guess import PROVIDED, family_of, guess_function, newest
from lambdad.cli.output import note, print_json, print_table, progress
from lambdad.layers.archive import ArchiveError, extract
from lambdad.runtimes.runtime import RuntimeMissing
from lambdad.runtimes.tree_cache import TreeError

if TYPE_CHECKING:
    from lambdad.testing.runtime_conformance import CaseResult
    from lambdad.testing.runtime_subject import Subject

_FUNCTION_FILES = {"conformance.py": "python", "conformance.mjs": "nodejs", "conformance.js": "nodejs"}
"""Of the function that a conformance run wants, beside the ones that a deploy knows."""

app = typer.Typer(add_completion=False)


@app.callback()
def _runtime() -> None:
    """Prove custom runtimes."""


@app.command()
def test(
    path: Annotated[Path, typer.Argument(help="An executable, or a function's directory or zip, as deploy takes it.")],
    runtime: Annotated[str | None, typer.Option(help="Such as python3.12. Default: guessed from the files.")] = None,
    handler: Annotated[str | None, typer.Option(help="Default: conformance.handler, or guessed.")] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Behind the walls of functions; as root.")] = False,
    layer: Annotated[
        list[Path] | None, typer.Option("--layer", metavar="DIR|ZIP", help="At /opt of the sandbox; repeat.")
    ] = None,
    case: Annotated[list[str] | None, typer.Option("--case", metavar="NAME", help="Only this one; repeat.")] = None,
    idle: Annotated[float, typer.Option(min=0, max=900, metavar="SECONDS", help="Also wait so long for an event.")] = 0,
    patience: Annotated[float, typer.Option(min=0.1, max=900, help="Seconds for each step.")] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Run a runtime against a scripted Runtime API; see docs/runtimes.md. Without --sandbox it runs as you."""
    from lambdad.testing.runtime_conformance import CASE_NAMES, Verdict

    if layer and not sandbox:
        raise typer.BadParameter("--layer needs --sandbox: there is no /opt of its own without")
    cases = tuple(case or CASE_NAMES)
    unknown = ", ".join(sorted(set(cases) - set(CASE_NAMES)))
    if unknown:
        raise typer.BadParameter(f"no such --case: {unknown}; there are {', '.join(CASE_NAMES)}")
    with _subject(path, runtime, handler, layer or ()) as subject:
        results = _play(subject, cases, idle=idle, patience=patience, is_sandboxed=sandbox)
    if as_json:
        print_json([{"case": r.case, "verdict": r.verdict.value, "detail": r.detail} for r in results])
    else:
        print_table(("Case", "Verdict", "Detail"), [(r.case, r.verdict.value, r.detail) for r in results])
    if any(r.verdict is Verdict.FAILED for r in results):
        raise typer.Exit(1)


def _play(
    subject: Subject, cases: Sequence[str], *, idle: float, patience: float, is_sandboxed: bool
) -> list[CaseResult]:
    from lambdad.sandbox.interface import SandboxError, StartError
    from lambdad.testing.runtime_conformance import runtime_conformance

    with progress("Playing the cases"):
        run = runtime_conformance(subject, patience=patience, sandboxed=is_sandboxed, cases=cases, idle=idle)
        try:
            return asyncio.run(run)
        except OSError as error:
            what = subject.program or subject.runtime.identifier
            advice = "look at its first line or its interpreter"
            raise CliError(f"{what} does not start: {error.strerror}; {advice}") from error
        except StartError as error:
            raise CliError(f"it does not start in a sandbox: {error.kind}: {error}") from error
        except SandboxError as error:
            raise CliError(f"no sandbox: {error}") from error


@contextmanager
def _subject(path: Path, runtime: str | None, handler: str | None, layers: Sequence[Path]) -> Iterator[Subject]:
    """What is to be tested, as long as this is open. Raises CliError."""
    from lambdad.testing.runtime_subject import bootstrap_subject

    with ExitStack() as stack:
        opt = tuple(stack.enter_context(_unpacked(layer)) for layer in layers)
        if path.is_file() and not zipfile.is_zipfile(path):
            subject = bootstrap_subject(_executable(path))
        else:
            subject = _function(stack, stack.enter_context(_unpacked(path)), runtime, handler, has_layers=bool(opt))
        yield replace(subject, layers=opt, handler=handler or subject.handler)


def _function(
    stack: ExitStack, directory: Path, runtime: str | None, handler: str | None, *, has_layers: bool
) -> Subject:
    """Of a function's directory. stack: holds what is built for it."""
    from lambdad.testing.runtime_subject import (
        Subject,
        bootstrap_subject,
        catalogue_of_host,
        managed_subject,
    )

    family, guessed = _guess(directory, family_of(runtime))
    if family == PROVIDED:
        if has_layers and not (directory / "bootstrap").is_file():
            return Subject(task=directory.absolute())
        return bootstrap_subject(_executable(directory / "bootstrap"))
    with progress("Looking for runtimes"):
        catalogue = catalogue_of_host()
    chosen = runtime or newest(catalogue.identifiers(), family)
    if chosen is None:
        raise CliError(f"{directory} needs a {family} runtime, but here are {', '.join(catalogue.identifiers())}")
    built = stack.enter_context(with_dependencies(directory, chosen, os.uname().machine))
    try:
        subject = managed_subject(catalogue, chosen, built, handler or guessed)
    except (RuntimeMissing, TreeError) as error:
        raise CliError(str(error)) from error
    note(f"runtime {chosen}, handler {subject.handler}")
    return subject


def _guess(directory: Path, family: str | None) -> tuple[str, str]:
    """Family and handler of a function: a bootstrap, a `conformance` module, or what a deploy would say."""
    from lambdad.testing.runtime_subject import HANDLER

    if family is None and (directory / "bootstrap").is_file():
        return PROVIDED, HANDLER
    for name, written_in in _FUNCTION_FILES.items():
        if (directory / name).is_file() and family in (None, written_in):
            return written_in, HANDLER
    guess = guess_function(directory)
    if guess is not None and family in (None, guess.family):
        return guess.family, guess.handler
    return family or PROVIDED, HANDLER


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """A directory as it is; of a zip its files. Raises CliError."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="lambdad-runtime-") as scratch:
        target = Path(scratch, "unpacked")
        target.mkdir()
        try:
            extract(path, target)
        except (ArchiveError, OSError) as error:
            raise CliError(f"{path} is neither a directory nor a zip that Lambda takes: {error}") from error
        yield target


def _executable(program: Path) -> Path:
    if not program.is_file() or not os.access(program, os.X_OK):
        raise CliError(f"{program} is no executable file: name the bootstrap, and chmod +x it")
    return program
