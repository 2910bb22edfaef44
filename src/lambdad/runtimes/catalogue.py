"""Which managed runtimes this host has, and how to get those that it has not.

Found once, when the worker starts: an interpreter that is installed later is seen after a restart. The newest patch
release of every minor wins, as on AWS. What a runtime needs besides its interpreter is made by `Catalogue.ensure`,
ahead of a function's first start.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import assert_never

from lambdad.runtimes import java_tree, node_tree, python_tree, ruby_tree
from lambdad.runtimes.probe import Interpreter, probe_java, probe_node, probe_python, probe_ruby
from lambdad.runtimes.runtime import (
    PROVIDED_IDENTIFIERS,
    JavaRuntime,
    NodeRuntime,
    ProvidedRuntime,
    PythonRuntime,
    RubyRuntime,
    Runtime,
    RuntimeMissing,
)
from lambdad.runtimes.search import (
    SearchPlaces,
    is_script,
    java_candidates,
    node_candidates,
    places_of_host,
    python_candidates,
    ruby_candidates,
)
from lambdad.runtimes.stand_in import EXACT, NEAREST, find_stand_in
from lambdad.runtimes.tree_cache import TreeError, sweep

PYTHON_MINORS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
NODE_OLDEST = 18
JAVA_OLDEST = 11
RUBY_OLDEST = (3, 1)
"""AWS's oldest is 3.2; a machine with 3.1 can stand in for it."""

_PYTHON = re.compile(r"python(3\.\d+)")
_NODE = re.compile(r"nodejs(\d+)\.x")
_JAVA = re.compile(r"java(\d+)(?:\.al\d+)?")
_RUBY = re.compile(r"ruby(\d+\.\d+)")


class Catalogue:
    """The runtimes of this host, by AWS's identifiers. choice: `exact` or `nearest` (`runtimes.stand_in`)."""

    def __init__(self, runtimes: Iterable[Runtime], choice: str = EXACT) -> None:
        self._runtimes: Mapping[str, Runtime] = {runtime.identifier: runtime for runtime in runtimes}
        self._choice = choice
        self._making = {identifier: asyncio.Lock() for identifier in self._runtimes}

    def identifiers(self) -> tuple[str, ...]:
        """`python3.11`, `nodejs20.x`, `provided.al2023` and so on, in the order of their release."""
        return tuple(self._runtimes)

    def pythons(self) -> tuple[PythonRuntime, ...]:
        """Those that can have a zygote."""
        return tuple(runtime for runtime in self._runtimes.values() if isinstance(runtime, PythonRuntime))

    def get(self, identifier: str) -> Runtime:
        """What runs functions of a runtime, under its own identifier. Raises `RuntimeMissing`."""
        runtime = self._runtimes.get(self._name(identifier))
        if runtime is None:
            raise RuntimeMissing(explain_missing(identifier, self.identifiers()))
        return runtime

    def check(self, identifier: str) -> str | None:
        """None, or why there is no such runtime and how to get it."""
        if self._name(identifier) in self._runtimes:
            return None
        return explain_missing(identifier, self.identifiers())

    def _name(self, identifier: str) -> str:
        if identifier in self._runtimes or self._choice != NEAREST:
            return identifier
        return find_stand_in(identifier, self._runtimes) or identifier

    async def ensure(self, identifier: str) -> str | None:
        """Make what sits at /var/runtime: seconds the first time on a host, nothing after. Returns why it failed.

        Callers at the same time wait for one making.
        """
        try:
            runtime = self.get(identifier)
            async with self._making[runtime.identifier]:
                await asyncio.to_thread(make_tree, runtime)
        except (RuntimeMissing, TreeError) as error:
            return str(error)
        return None


def discover(cache_dir: Path, places: SearchPlaces | None = None, choice: str = EXACT) -> Catalogue:
    """Look at this host; every interpreter found is run once, and remembered in `cache_dir`.

    Blocks, the first time for up to some seconds. Raises `TreeError` if lambdad is installed incompletely.
    """
    cache_dir = cache_dir.absolute()
    places = places_of_host(os.environ) if places is None else places
    runtimes: list[Runtime] = []
    for minor in PYTHON_MINORS:
        found = _newest(python_candidates(places, minor), lambda path: probe_python(path, cache_dir), minor)
        if found is not None:
            runtimes.append(_python_runtime(minor, found, cache_dir))
    nodes = _newest_of_series((probe_node(path, cache_dir) for path in node_candidates(places)), NODE_OLDEST)
    runtimes += [_node_runtime(node, cache_dir) for node in nodes if node.release[0] % 2 == 0]
    rubies = _newest_of_series((probe_ruby(path, cache_dir) for path in ruby_candidates(places)), *RUBY_OLDEST)
    runtimes += [_ruby_runtime(ruby, cache_dir) for ruby in rubies]
    javas = _newest_of_series((probe_java(path, cache_dir) for path in java_candidates(places)), JAVA_OLDEST)
    runtimes += [_java_runtime(java, cache_dir) for java in javas]
    used = [Path(runtime.runtime_dir).name for runtime in runtimes if not isinstance(runtime, ProvidedRuntime)]
    sweep(cache_dir / "runtimes", used, time.time())
    runtimes.extend(ProvidedRuntime(identifier) for identifier in PROVIDED_IDENTIFIERS)
    return Catalogue(runtimes, choice)


def make_tree(runtime: Runtime) -> None:
    """Make the runtime's directory if it is not there. Blocks for seconds. Raises `TreeError`."""
    match runtime:
        case PythonRuntime():
            target = Path(runtime.runtime_dir)
            python_tree.build_python_tree(
                target, minor=runtime.minor, soabi=runtime.soabi, interpreter=runtime.interpreter
            )
        case NodeRuntime():
            node_tree.build_node_tree(Path(runtime.runtime_dir), runtime.interpreter, runtime.major)
        case RubyRuntime():
            ruby_tree.build_ruby_tree(Path(runtime.runtime_dir))
        case JavaRuntime():
            java_tree.build_java_tree(Path(runtime.runtime_dir), runtime.prefix)
        case ProvidedRuntime():
            pass
        case _:
            assert_never(runtime)


def explain_missing(identifier: str, present: Iterable[str]) -> str:
    """Why a runtime is missing, and the shortest way to have it."""
    there = ", ".join(present)
    if (python := _PYTHON.fullmatch(identifier)) and python[1] in PYTHON_MINORS:
        version = python[1]
        return (
            f"The runtime {identifier} needs CPython {version}, and lambdad found none on this machine. Install it, "
            f"for example with `uv python install {version}`, `pyenv install {version}` or your distribution's "
            f"packages, then restart lambdad. Runtimes here: {there}."
        )
    if (node := _NODE.fullmatch(identifier)) and int(node[1]) >= NODE_OLDEST:
        return (
            f"The runtime {identifier} needs Node.js {node[1]}, and lambdad found none on this machine. Install it, "
            f"for example with `nvm install {node[1]}` or your distribution's packages, then restart lambdad. "
            f"Runtimes here: {there}."
        )
    if ruby := _RUBY.fullmatch(identifier):
        return (
            f"The runtime {identifier} needs Ruby {ruby[1]}, and lambdad found none on this machine. Install it, "
            f"for example with `rbenv install {ruby[1]}` or your distribution's packages, then restart lambdad. "
            f"Runtimes here: {there}."
        )
    if java := _JAVA.fullmatch(identifier):
        return (
            f"The runtime {identifier} needs a JDK {java[1]}, and lambdad found none on this machine. Install it, for "
            f"example with `sdk install java` or your distribution's packages, then restart lambdad. "
            f"Runtimes here: {there}."
        )
    return (
        f"lambdad does not provide the runtime {identifier}. Runtimes here: {there}. Anything else runs as "
        f"`provided.al2023` with an executable named `bootstrap`, or as a container image."
    )


def _newest(candidates: Iterable[str], probe: Callable[[str], Interpreter | None], minor: str) -> Interpreter | None:
    """The newest release among the candidates. Shims are asked only if there is no interpreter besides them."""
    found_there = list(candidates)
    shims = [path for path in found_there if is_script(path)]
    programs = [path for path in found_there if path not in shims]
    for paths in (programs, shims):
        probed = (probe(path) for path in paths)
        fitting = [found for found in probed if found is not None and found.version.startswith(f"{minor}.")]
        if fitting:
            return max(fitting, key=lambda found: found.release)
    return None


def _newest_of_series(probed: Iterable[Interpreter | None], *oldest: int) -> list[Interpreter]:
    """The newest release of each series, in their order. oldest: the first series that counts, such as 18 or 3, 1."""
    newest: dict[tuple[int, ...], Interpreter] = {}
    for found in probed:
        if found is None or (series := found.release[: len(oldest)]) < oldest:
            continue
        if series not in newest or found.release > newest[series].release:
            newest[series] = found
    return [newest[series] for series in sorted(newest)]


def _python_runtime(minor: str, found: Interpreter, cache_dir: Path) -> PythonRuntime:
    return PythonRuntime(
        identifier=f"python{minor}",
        version=found.version,
        interpreter=found.executable,
        prefix=found.prefix,
        soabi=found.soabi,
        runtime_dir=str(cache_dir / "runtimes" / python_tree.python_tree_name(minor, found.soabi)),
    )


def _node_runtime(found: Interpreter, cache_dir: Path) -> NodeRuntime:
    return NodeRuntime(
        identifier=f"nodejs{found.release[0]}.x",
        version=found.version,
        interpreter=found.executable,
        prefix=found.prefix,
        runtime_dir=str(cache_dir / "runtimes" / node_tree.node_tree_name(found.release[0])),
    )


def _ruby_runtime(found: Interpreter, cache_dir: Path) -> RubyRuntime:
    return RubyRuntime(
        identifier=f"ruby{found.release[0]}.{found.release[1]}",
        version=found.version,
        interpreter=found.executable,
        prefix=found.prefix,
        runtime_dir=str(cache_dir / "runtimes" / ruby_tree.ruby_tree_name()),
    )


def _java_runtime(found: Interpreter, cache_dir: Path) -> JavaRuntime:
    return JavaRuntime(
        identifier=f"java{found.release[0]}",
        version=found.version,
        interpreter=found.executable,
        prefix=found.prefix,
        runtime_dir=str(cache_dir / "runtimes" / java_tree.java_tree_name()),
    )
