"""The repository's Python files, read once: what the architecture tests look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "lambdad"
TESTS = REPOSITORY / "tests"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """name: the path below the repository, with slashes, such as `src/lambdad/wire/http.py`."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(REPOSITORY).as_posix()

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """The modules below these folders of the repository; those of `src/lambdad` by default."""
    found: list[Module] = []
    for folder in folders or ("src/lambdad",):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            text = path.read_text()
            found.append(Module(path, text, ast.parse(text)))
    return tuple(found)


def functions(module: Module) -> Iterator[Function]:
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            yield node


def length(node: Function | ast.ClassDef) -> int:
    """Lines from the first decorator or the `def` to the last statement."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    assert node.end_lineno is not None
    return node.end_lineno - first + 1


def imported_modules(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, absolute name of a module) of every import statement at or below `node`."""
    for statement in ast.walk(node):
        match statement:
            case ast.Import():
                yield from ((statement.lineno, alias.name) for alias in statement.names)
            case ast.ImportFrom(module=str(name)):
                yield statement.lineno, name


def split_exceptions(found: dict[str, object], excepted: frozenset[str]) -> tuple[list[str], list[str]]:
    """(what breaks a rule without being excepted, exceptions that nothing needs any more)."""
    unexpected = [f"{name}: {detail}" for name, detail in sorted(found.items()) if name not in excepted]
    return unexpected, sorted(excepted - found.keys())
