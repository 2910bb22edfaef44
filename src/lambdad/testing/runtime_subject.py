"""What a conformance run tests: a runtime of this host with a function, or a program that is both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lambdad.pack.cache import default_cache
from lambdad.runtimes.catalogue import Catalogue, discover, make_tree
from lambdad.runtimes.runtime import ProvidedRuntime, Runtime

HANDLER = "conformance.handler"
PROVIDED = ProvidedRuntime("provided.al2023")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """runtime: its files are there. task: the function's directory.

    program: what a `provided` runtime starts, in `task`; None for the `bootstrap` of `task` or of a layer.
    layers: directories, a later one wins; only a sandbox can show them at /opt.
    """

    task: Path
    runtime: Runtime = PROVIDED
    program: Path | None = None
    layers: tuple[Path, ...] = ()
    handler: str = HANDLER


def bootstrap_subject(path: Path) -> Subject:
    """Of an executable, or of the directory that has it as `bootstrap`."""
    program = (path / "bootstrap" if path.is_dir() else path).absolute()
    return Subject(task=program.parent, program=program)


def catalogue_of_host() -> Catalogue:
    """The runtimes of this host. Blocks for seconds the first time. Raises `TreeError`."""
    return discover(default_cache().root.parent)


def managed_subject(catalogue: Catalogue, identifier: str, task: Path, handler: str = HANDLER) -> Subject:
    """Of a function's directory under a runtime such as `python3.11`. Raises `RuntimeMissing`, `TreeError`."""
    runtime = catalogue.get(identifier)
    make_tree(runtime)
    return Subject(task=task.absolute(), runtime=runtime, handler=handler)
