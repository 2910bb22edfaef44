"""The habits of the house that no linter knows."""

from __future__ import annotations

import ast

import pytest
from tests.architecture.source import PACKAGE, Module, functions, imported_modules, modules, split_exceptions

LOCAL_IMPORTS: frozenset[str] = frozenset()
"""Modules outside of `cli` that import inside of functions. This list only shrinks."""

INSIDE = {"__future__", "_signal", "_socket", "ctypes", "gc", "lambdad", "marshal", "os", "select", "sys"}

STANDALONE = {
    "sandbox/inside/calls.py": {"__future__", "_socket", "ctypes", "os", "sys"},
    "sandbox/inside/launcher.py": INSIDE,
    "sandbox/inside/init.py": INSIDE,
    "sandbox/inside/runtime_process.py": INSIDE,
    "runtimes/python/runtime_client.py": {"__future__", "binascii", "collections", "os", "socket"},
}
"""Files that run in a process where every import costs a cold start, and all that they may import."""


def _inits() -> list[Module]:
    return [module for module in modules() if module.path.name == "__init__.py" and module.path.parent != PACKAGE]


def test_init_files_hold_one_docstring_and_nothing_else() -> None:
    """No re-exports: a name is imported from where it is defined."""
    broken = [
        module.name for module in _inits() if len(module.tree.body) != 1 or ast.get_docstring(module.tree) is None
    ]
    assert broken == []


def test_every_module_says_what_it_is() -> None:
    assert [module.name for module in modules() if not ast.get_docstring(module.tree)] == []


def test_imports_are_at_the_top_outside_of_the_command_line() -> None:
    """A local import hides a cycle. The command line alone may import late: `lambdad --help` must be quick."""
    found: dict[str, object] = {}
    for module in modules():
        if module.path.is_relative_to(PACKAGE / "cli"):
            continue
        for function in functions(module):
            for line, name in imported_modules(function):
                found[module.name] = f"line {line} imports {name} in {function.name}"
    assert split_exceptions(found, LOCAL_IMPORTS) == ([], [])


@pytest.mark.parametrize("name", sorted(STANDALONE))
def test_what_starts_in_a_sandbox_imports_only_what_it_may(name: str) -> None:
    module = next(module for module in modules() if module.path == PACKAGE / name)
    imported = {name.split(".")[0] for _, name in imported_modules(module.tree)}
    assert imported - STANDALONE[name] == set()
