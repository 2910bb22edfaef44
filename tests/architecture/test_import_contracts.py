"""Imports point down the tree of docs/ARCHITECTURE.md, and the contracts that say so miss no package."""

from __future__ import annotations

import configparser
import re

import pytest
from importlinter.cli import lint_imports
from tests.architecture.source import PACKAGE, REPOSITORY, imported_modules, modules

CONFIGURATION = REPOSITORY / ".importlinter"

UNPRIVILEGED = {"control", "frontend", "events", "placement"}
PRIVILEGED = {"linux", "sandbox", "block", "runtime_api"}

PURE_MODULES = re.compile(r"/(state|policy|plan)\.py$")
IMPURE = {"asyncio", "socket", "time", "random", "subprocess", "logging", "threading", "uvloop"}


def _contract(name: str, key: str) -> set[str]:
    parser = configparser.ConfigParser()
    parser.read(CONFIGURATION)
    return {line.removeprefix("lambdad.") for line in parser[f"importlinter:contract:{name}"][key].split()}


def _existing(packages: set[str]) -> set[str]:
    return {name for name in packages if (PACKAGE / name / "__init__.py").exists()}


def test_all_import_contracts_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    code = lint_imports(config_filename=str(CONFIGURATION), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_the_privilege_contract_names_every_package_on_its_two_sides() -> None:
    """A package that is born later must be added: import-linter refuses names that do not exist yet."""
    assert _contract("privilege", "source_modules") == _existing(UNPRIVILEGED)
    assert _contract("privilege", "forbidden_modules") == _existing(PRIVILEGED)


def test_state_machines_and_policies_do_no_io_and_read_no_clock() -> None:
    broken = [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        if PURE_MODULES.search(module.name)
        for line, name in imported_modules(module.tree)
        if name.split(".")[0] in IMPURE
    ]
    assert broken == []
