"""`layer.toml`: what somebody wants in a layer. The format is documented in docs/formats/layer-recipe.md.

Pure: text in, values out. A key that is not in the format is an error with a suggestion, never ignored.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdad.pack.errors import PackError

NAME = re.compile(r"[a-zA-Z0-9_-]{1,140}\Z")
RPM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]*(?: (?:=|>=|<=|<|>) [A-Za-z0-9_+.~^:-]+)?\Z")
APT_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+~:-]+)?\Z")
STAGES_MAX = 64
DEFAULT_BASE = "debian12"
_UNITS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


@dataclass(frozen=True, slots=True)
class Packages:
    """Names from each registry, as their own tools take them, and own files: target under /opt to source."""

    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    rpm: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def plus(self, other: Packages) -> Packages:
        return Packages(
            tuple(dict.fromkeys(self.apt + other.apt)),
            tuple(dict.fromkeys(self.pip + other.pip)),
            tuple(dict.fromkeys(self.npm + other.npm)),
            tuple(dict.fromkeys(self.rpm + other.rpm)),
            {**self.files, **other.files},
        )


@dataclass(frozen=True, slots=True)
class RpmSource:
    """Where rpm packages come from. repositories: addresses, or directories beside the recipe; key: a file beside the
    recipe with the public key that has to have signed them; installed: names that the base has besides the usual ones.
    """

    repositories: tuple[str, ...] = ()
    key: str = ""
    installed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a build: more packages and files, and the shell command that proves them. None: nothing to run."""

    name: str
    adds: Packages
    test: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """How paths move. bare_prefix: packages whose lone `/usr` strings move too; immediates: patch paths that
    the compiler put into instructions; writable: directories of /var that become /tmp instead of /opt.
    """

    bare_prefix: tuple[str, ...] = ()
    immediates: bool = False
    writable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prune:
    """What is left out. remove: globs under /opt; unreachable: libraries and programs that no entry point needs."""

    remove: tuple[str, ...] = ()
    unreachable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole recipe. budget: bytes unzipped, None for AWS's limit only; entrypoints: globs under /opt."""

    name: str
    description: str = ""
    base: str = DEFAULT_BASE
    python: str = "3.11"
    runtimes: tuple[str, ...] = ()
    licence: str = ""
    budget: int | None = None
    entrypoints: tuple[str, ...] = ()
    packages: Packages = field(default_factory=Packages)
    rpm: RpmSource = field(default_factory=RpmSource)
    relocation: Relocation = field(default_factory=Relocation)
    prune: Prune = field(default_factory=Prune)
    environment: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()

    def upto(self, stage: int) -> Packages:
        """Everything that stages 0..`stage` ask for together."""
        wanted = self.packages
        for one in self.stages[: stage + 1]:
            wanted = wanted.plus(one.adds)
        return wanted

    @property
    def everything(self) -> Packages:
        return self.upto(len(self.stages))


def parse_recipe(text: str) -> Recipe:
    """The recipe in a TOML text. Raises PackError that names the key, the value and the remedy."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PackError(f"the recipe is not TOML: {error}") from None
    known = {
        "name", "description", "base", "python", "runtimes", "licence", "budget", "entrypoints",
        "packages", "rpm", "relocate", "prune", "environment", "stages",
    }  # fmt: skip
    _refuse_unknown(table, known, "the recipe")
    if "name" not in table:
        raise PackError('the recipe has no name: begin it with name = "..."')
    name = _text(table, "name")
    if not NAME.match(name):
        raise PackError(f"name {name!r} is not a layer name: letters, digits, - and _, at most 140")
    packages = _table(table, "packages")
    _refuse_unknown(packages, {"apt", "pip", "npm", "rpm", "files"}, "[packages]")
    stages = _stages(table)
    recipe = Recipe(
        name=name,
        description=_text(table, "description"),
        base=_text(table, "base") or DEFAULT_BASE,
        python=_text(table, "python") or "3.11",
        runtimes=_texts(table, "runtimes"),
        licence=_text(table, "licence"),
        budget=_budget(table),
        entrypoints=tuple(_inside(path, "entrypoints") for path in _texts(table, "entrypoints")),
        packages=_packages(packages),
        rpm=_rpm(_table(table, "rpm")),
        relocation=_relocation(_table(table, "relocate")),
        prune=_prune(_table(table, "prune")),
        environment=_strings(_table(table, "environment"), "[environment]"),
        stages=stages,
    )
    if recipe.prune.unreachable and not recipe.entrypoints:
        raise PackError("prune.unreachable needs entrypoints: without them everything would be removed")
    if recipe.everything.rpm and not recipe.rpm.repositories:
        raise PackError('rpm packages need a repository: [rpm] repositories = ["https://..."]')
    if recipe.everything == Packages():
        raise PackError("the recipe asks for nothing: name packages under [packages] or in a stage")
    return recipe


def _stages(table: Mapping[str, Any]) -> tuple[Stage, ...]:
    entries = table.get("stages", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PackError("stages are written as [[stages]] tables")
    if len(entries) > STAGES_MAX:
        raise PackError(f"{len(entries)} stages (limit {STAGES_MAX})")
    stages = []
    for number, entry in enumerate(entries, 1):
        where = f"stage {number}"
        _refuse_unknown(entry, {"name", "test", "apt", "pip", "npm", "rpm", "files"}, where)
        name = _text(entry, "name") or f"stage-{number}"
        if not NAME.match(name):
            raise PackError(f"{where}: name {name!r} may have letters, digits, - and _")
        stages.append(Stage(name, _packages(entry), _text(entry, "test") or None))
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise PackError(f"two stages are called {name!r}")
    return tuple(stages)


def _packages(table: Mapping[str, Any]) -> Packages:
    apt = _texts(table, "apt")
    for name in apt:
        if not APT_NAME.match(name):
            raise PackError(f"{name!r} is not a Debian package name")
    pip, npm, rpm = _texts(table, "pip"), _texts(table, "npm"), _texts(table, "rpm")
    for name in rpm:
        if not RPM_NAME.match(name):
            raise PackError(f"{name!r} is not an rpm package name")
    for name in (*pip, *npm):
        if name.startswith("-"):
            raise PackError(f"{name!r} is an option, not a package")
    files = _strings(_table(table, "files"), "files")
    return Packages(apt, pip, npm, rpm, {_inside(target, "files"): source for target, source in files.items()})


def _rpm(table: Mapping[str, Any]) -> RpmSource:
    _refuse_unknown(table, {"repositories", "key", "installed"}, "[rpm]")
    repositories = _texts(table, "repositories")
    for address in repositories:
        if "://" in address and not address.startswith(("http://", "https://")):
            raise PackError(f"rpm.repositories: {address!r} must be http://, https:// or a directory")
    return RpmSource(repositories, _text(table, "key"), _texts(table, "installed"))


def _relocation(table: Mapping[str, Any]) -> Relocation:
    _refuse_unknown(table, {"bare-prefix", "immediates", "writable"}, "[relocate]")
    writable = _texts(table, "writable")
    for path in writable:
        if not path.startswith("/var/") or ".." in path.split("/"):
            raise PackError(f"relocate.writable: {path!r} is not under /var")
    return Relocation(
        bare_prefix=_texts(table, "bare-prefix"), immediates=_flag(table, "immediates"), writable=writable
    )


def _prune(table: Mapping[str, Any]) -> Prune:
    _refuse_unknown(table, {"remove", "unreachable"}, "[prune]")
    return Prune(tuple(_inside(path, "prune.remove") for path in _texts(table, "remove")), _flag(table, "unreachable"))


def parse_size(text: str) -> int:
    """`110 MB`, `250MB`, `1024`: bytes; units are powers of 1024, as Lambda counts. Raises PackError."""
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,3})?)\s*([KMG]?B?)\s*", text, re.IGNORECASE)
    unit = match.group(2).upper() if match else "?"
    unit = unit if unit in _UNITS else f"{unit}B"
    if match is None or unit not in _UNITS:
        raise PackError(f"{text!r} is not a size: write it as 110 MB")
    return int(float(match.group(1)) * _UNITS[unit])


def _budget(table: Mapping[str, Any]) -> int | None:
    value = table.get("budget")
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str):
        return parse_size(value)
    raise PackError(f"budget: {value!r} is not a size: write it as 110 MB")


def _inside(path: str, where: str) -> str:
    relative = path.removeprefix("/opt/")
    if not relative or relative.startswith("/") or ".." in relative.split("/") or "\0" in relative:
        raise PackError(f"{where}: {path!r} must be a path under /opt")
    return relative.rstrip("/")


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"
            raise PackError(f"{where} has an unknown key {key!r}: {hint}")


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise PackError(f"{key} must be a table, not {value!r}")
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or "\0" in value:
        raise PackError(f"{key} must be a string, not {value!r}")
    return value


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one and "\0" not in one for one in value):
        raise PackError(f"{key} must be a list of strings, not {value!r}")
    return tuple(value)


def _strings(table: Mapping[str, Any], where: str) -> dict[str, str]:
    for key, value in table.items():
        if not isinstance(value, str) or "\0" in value or "\0" in key:
            raise PackError(f"{where}: {key} must be a string, not {value!r}")
    return dict(table)


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise PackError(f"{key} must be true or false, not {value!r}")
    return value
