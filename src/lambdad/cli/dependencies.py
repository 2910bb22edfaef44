"""What a function's files ask for, built for the target, not for this machine.

That is `requirements.txt`, or else the dependencies of `pyproject.toml`, and `package.json`. The result is a copy of
the directory with the packages in it. Nothing of a package is run: wheels are unpacked, npm's scripts are off.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lambdad.cli.bundle import LEFT_OUT
from lambdad.cli.errors import CliError
from lambdad.cli.output import note, progress
from lambdad.pack.cache import default_cache
from lambdad.pack.errors import PackError
from lambdad.pack.lock import Pin
from lambdad.pack.node import install_modules
from lambdad.pack.requirements import Requirements, named_requirements, read_requirements
from lambdad.pack.target import arch_named
from lambdad.pack.wheels import fetch_wheels, unpack_wheel, wheel_files

REQUIREMENTS = "requirements.txt"
PYPROJECT = "pyproject.toml"
PACKAGE_JSON = "package.json"
_GLIBC = {"3.8": (2, 26), "3.9": (2, 26), "3.10": (2, 26), "3.11": (2, 26)}
_GLIBC_NEWER = (2, 34)
"""Of AWS's images for a Python: Amazon Linux 2 up to 3.11, then 2023."""


@contextmanager
def with_dependencies(directory: Path, runtime: str, architecture: str) -> Iterator[Path]:
    """`directory`, or while this is open a copy of it with what it asks for. Raises CliError."""
    wheels = _wanted_wheels(directory) if runtime.startswith("python") else None
    wants_modules = runtime.startswith("nodejs") and _asks_for_modules(directory)
    if wheels is None and not wants_modules:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="lambdad-build-") as scratch:
        built = Path(scratch) / "function"
        try:
            if wheels is not None:
                _install_wheels(wheels, runtime.removeprefix("python"), architecture, built)
                shutil.copytree(directory, built, symlinks=True, dirs_exist_ok=True, ignore=_left_out)
            else:
                shutil.copytree(directory, built, symlinks=True, ignore=_left_out)
                with progress("npm"):
                    install_modules(built, arch_named(architecture))
        except PackError as error:
            raise CliError(str(error)) from None
        except (OSError, shutil.Error) as error:
            raise CliError(f"cannot build {directory}: {error}") from None
        yield built


def _wanted_wheels(directory: Path) -> Requirements | None:
    """What pip is to be asked for, if anything. Raises CliError for what would be run to build it."""
    try:
        if (directory / REQUIREMENTS).is_file():
            found = read_requirements(directory / REQUIREMENTS)
        else:
            found = named_requirements(_project_dependencies(directory / PYPROJECT), str(directory / PYPROJECT))
    except PackError as error:
        raise CliError(str(error)) from None
    return found if found.lines else None


def _project_dependencies(pyproject: Path) -> list[str]:
    try:
        project = tomllib.loads(pyproject.read_text()).get("project")
    except (OSError, ValueError):
        return []
    wanted = project.get("dependencies") if isinstance(project, dict) else None
    return [str(requirement) for requirement in wanted] if isinstance(wanted, list) else []


def _asks_for_modules(directory: Path) -> bool:
    """Modules that are there are the user's own choice."""
    if (directory / "node_modules").exists():
        return False
    try:
        package = json.loads((directory / PACKAGE_JSON).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(package, dict) and bool(package.get("dependencies"))


@functools.lru_cache(maxsize=16)
def _resolve(lines: tuple[str, ...], constraints: tuple[str, ...], python: str, architecture: str) -> tuple[Pin, ...]:
    """Asked once for the same files: a watch deploys a change of code in a moment, and without surprises."""
    wanted = Requirements(list(lines), list(constraints))
    return fetch_wheels(wanted, python, arch_named(architecture), _glibc(python), default_cache())


def _glibc(python: str) -> tuple[int, int]:
    return _GLIBC.get(python, _GLIBC_NEWER)


def _install_wheels(wanted: Requirements, python: str, architecture: str, built: Path) -> None:
    arch = arch_named(architecture)
    glibc, cache = _glibc(python), default_cache()
    with progress(f"packages for python{python}, {architecture}"):
        pins = _resolve(tuple(wanted.lines), tuple(wanted.constraints), python, architecture)
        tree = built.with_name("wheels")
        for pin, wheel in zip(pins, wheel_files(pins, python, arch, glibc, cache), strict=True):
            unpack_wheel(wheel, tree, pin.name)
    note(f"packages: {', '.join(f'{pin.name} {pin.version}' for pin in pins)}")
    (tree / "python").rename(built)


def _left_out(_: str, names: list[str]) -> set[str]:
    return set(LEFT_OUT & set(names))
