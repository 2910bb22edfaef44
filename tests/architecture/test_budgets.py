"""Nothing outgrows a reader: function <= 70 lines, module <= 600, class <= 400.

The exceptions only shrink: one that is not needed any more fails the test.
"""

from __future__ import annotations

import ast

from tests.architecture.source import functions, length, modules, split_exceptions

FUNCTION_LINES = 70
MODULE_LINES = 600
CLASS_LINES = 400

FOLDERS = ("src/lambdad", "tests", "bench", "scripts", "examples")

LONG_FUNCTIONS: frozenset[str] = frozenset()
LONG_MODULES: frozenset[str] = frozenset()
LONG_CLASSES: frozenset[str] = frozenset()


def test_functions_are_at_most_70_lines() -> None:
    found: dict[str, object] = {
        f"{module.name}:{function.name}": length(function)
        for module in modules(*FOLDERS)
        for function in functions(module)
        if length(function) > FUNCTION_LINES
    }
    assert split_exceptions(found, LONG_FUNCTIONS) == ([], [])


def test_modules_are_at_most_600_lines() -> None:
    found: dict[str, object] = {
        module.name: module.lines for module in modules(*FOLDERS) if module.lines > MODULE_LINES
    }
    assert split_exceptions(found, LONG_MODULES) == ([], [])


def test_classes_are_at_most_400_lines() -> None:
    found: dict[str, object] = {
        f"{module.name}:{node.name}": length(node)
        for module in modules(*FOLDERS)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and length(node) > CLASS_LINES
    }
    assert split_exceptions(found, LONG_CLASSES) == ([], [])
