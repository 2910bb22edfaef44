"""Every module with logic has a test file of its name; tests wait for events and never sleep."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

from tests.architecture.source import PACKAGE, TESTS, Function, Module, functions, modules, split_exceptions

UNTESTED = frozenset(
    {
        "src/lambdad/frontend/trace.py",
        "src/lambdad/image/blob.py",
        "src/lambdad/image/content.py",
        "src/lambdad/image/directory.py",
        "src/lambdad/image/erofs/format.py",
        "src/lambdad/image/ext4/format.py",
        "src/lambdad/image/ext4/writer.py",
        "src/lambdad/image/limits.py",
        "src/lambdad/image/oci.py",
        "src/lambdad/image/output.py",
        "src/lambdad/image/packages.py",
        "src/lambdad/image/sources.py",
        "src/lambdad/image/tree.py",
        "src/lambdad/node/api.py",
        "src/lambdad/node/image_build.py",
        "src/lambdad/node/image_builder.py",
        "src/lambdad/node/log_page.py",
        "src/lambdad/node/process.py",
        "src/lambdad/node/provision.py",
        "src/lambdad/node/up.py",
        "src/lambdad/node/worker.py",
        "src/lambdad/worker/environment_driver.py",
        "src/lambdad/worker/interface.py",
        "src/lambdad/worker/server.py",
    }
)
"""Modules that only the tests of others exercise (tests/api, tests/kernel, tests/property). This list only shrinks."""

SLEEPS: frozenset[str] = frozenset()
"""Tests that sleep. This list only shrinks."""


def _is_empty(function: Function) -> bool:
    """A docstring and `...`: a method of a Protocol."""
    return all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in function.body
    )


def _has_logic(module: Module) -> bool:
    return any(not _is_empty(function) for function in functions(module))


def _has_test_file(module: Module) -> bool:
    """tests/unit/PACKAGE/**/test_MODULE.py, or test_MODULE.py or test_PACKAGE_MODULE.py in another suite."""
    path = PurePosixPath(module.name).relative_to("src/lambdad")
    package, stem = path.parts[0], path.stem.strip("_")
    inner = "_".join(path.parts[1:-1])
    names = {f"test_{stem}.py", f"test_{package}_{stem}.py"} | ({f"test_{inner}_{stem}.py"} if inner else set())
    for name in names:
        for found in TESTS.rglob(name):
            suite = found.relative_to(TESTS).parts
            if suite[0] != "unit" or package in suite:
                return True
    return False


def test_every_module_with_logic_has_a_test_file() -> None:
    found: dict[str, object] = {
        module.name: "has no test file"
        for module in modules()
        if module.path.name not in ("__init__.py", "__main__.py")
        and not module.path.is_relative_to(PACKAGE / "testing")  # doubles and suites: tests themselves
        and _has_logic(module)
        and not _has_test_file(module)
    }
    assert split_exceptions(found, UNTESTED) == ([], [])


def test_tests_wait_for_events_and_never_sleep() -> None:
    """`asyncio.sleep(0)` is a turn of the loop, not a wait; polling with a deadline is `lambdad.testing.waiting`."""
    found: dict[str, object] = {}
    for module in modules("tests"):
        calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
        for call in calls:
            is_sleep = ast.unparse(call.func) in ("time.sleep", "asyncio.sleep")
            if is_sleep and ast.unparse(call.args[0]) != "0":
                found[module.name] = f"line {call.lineno}: {ast.unparse(call)}"
    assert split_exceptions(found, SLEEPS) == ([], [])
