"""Debian packages relative to a base: which are needed, which exactly, and where their bytes are.

Runs the machine's apt-get with a private state directory whose installed packages are those of the base, so apt's own
resolver says what is missing. Nothing of the machine's own package state is read or changed.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.pack.base import Base
from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.lock import Pin
from lambdad.pack.process import ToolFailed, clean_environment, find_tool, run_tool

PACKAGES_MAX = 2_000
_INSTALL = re.compile(r"^Inst (\S+?)(?::\S+)? (?:\[(\S+)\] )?\((\S+) .*\[(\S+)\]\)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A package that apt would install. replaces: the base's version, if it would be upgraded."""

    name: str
    version: str
    arch: str
    replaces: str | None


@dataclass(frozen=True, slots=True)
class Apt:
    """apt as seen from one base. state: private directory for lists and archives."""

    base: Base
    cache: Cache

    @property
    def state(self) -> Path:
        return self.cache.apt(f"{self.base.suite}-{self.base.arch.debian}")

    def resolve(self, names: Sequence[str]) -> tuple[Candidate, ...]:
        """What `names` need beyond the base, sorted. Raises PackError naming what cannot be had, and why."""
        if not names:
            return ()
        self.refresh_once()
        try:
            output = self._get("install", "--simulate", "-y", "--no-install-recommends", "--no-remove", *names)
        except ToolFailed as error:
            raise PackError(self._explain(error.output)) from None
        found = parse_simulation(output)
        if len(found) > PACKAGES_MAX:
            raise PackError(f"{len(found)} packages would be needed (limit {PACKAGES_MAX})")
        return found

    def fetch(self, candidates: Iterable[Candidate]) -> tuple[Pin, ...]:
        """Download packages and pin them by digest. Dependencies are kept only among themselves."""
        wanted = sorted(candidates, key=lambda candidate: candidate.name)
        if not wanted:
            return ()
        with self.cache.scratch() as scratch:
            self._download([f"{one.name}:{one.arch}={one.version}" for one in wanted], scratch)
            files = sorted(scratch.glob("*.deb"))
            pins = [self._keep(path) for path in files]
        providers = {name: pin.name for pin, provided, _ in pins for name in (*provided, pin.name)}
        return tuple(
            Pin(
                source="apt",
                name=pin.name,
                version=pin.version,
                filename=pin.filename,
                sha256=pin.sha256,
                size=pin.size,
                depends=tuple(sorted({providers[name] for name in depends if name in providers} - {pin.name})),
            )
            for pin, _, depends in sorted(pins, key=lambda entry: entry[0].name)
        )

    def files(self, pins: Iterable[Pin]) -> list[Path]:
        """The archives of locked packages, from the cache or the mirror. Raises PackError if bytes differ."""
        wanted = list(pins)
        missing = [pin for pin in wanted if not self._path(pin.sha256).exists()]
        if missing:
            self.refresh_once()
            with self.cache.scratch() as scratch:
                self._download([f"{pin.name}:{_arch_of(pin)}={pin.version}" for pin in missing], scratch)
                for path in scratch.glob("*.deb"):
                    self._keep(path)
        for pin in missing:
            if not self._path(pin.sha256).exists():
                raise PackError(
                    f"the mirror's {pin.name} {pin.version} is not the locked one (sha256 {pin.sha256[:16]}…): "
                    "build again with --update"
                )
        for pin in wanted:
            self._path(pin.sha256).touch()
        return [self._path(pin.sha256) for pin in wanted]

    def refresh_once(self) -> None:
        """Fetch the package lists if this state has none yet."""
        if not any((self.state / "lists").glob("*Packages*")):
            self.refresh()

    def refresh(self) -> None:
        """Fetch the package lists."""
        for name in ("lists/partial", "archives/partial"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        self._get("update", "-q")

    def _download(self, specs: list[str], directory: Path) -> None:
        try:
            self._get("download", "-q", *specs, directory=directory)
        except ToolFailed as error:
            raise PackError(f"{self._explain(error.output)}\n(the mirror may have moved on: --update)") from None

    def _keep(self, path: Path) -> tuple[Pin, tuple[str, ...], tuple[str, ...]]:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        path.replace(self._path(digest))
        fields = run_tool(
            [find_tool("dpkg-deb", "the Debian package dpkg"), "-f", str(self._path(digest))],
            environment=clean_environment(),
        )
        control = parse_control(fields)
        pin = Pin(
            source="apt",
            name=control["Package"],
            version=control["Version"],
            filename=f"{control['Package']}_{control['Version']}_{control['Architecture']}.deb",
            sha256=digest,
            size=size,
        )
        depends = f"{control.get('Pre-Depends', '')},{control.get('Depends', '')}"
        return pin, relation_names(control.get("Provides", "")), relation_names(depends)

    def _path(self, digest: str) -> Path:
        return self.cache.downloads / f"{digest}.deb"

    def _get(self, *arguments: str, directory: Path | None = None) -> str:
        argv = [find_tool("apt-get", "the Debian package apt"), *self._options(), *arguments]
        return run_tool(argv, environment=clean_environment(), directory=directory)

    def _options(self) -> list[str]:
        options = {
            "Dir::State": str(self.state),
            "Dir::State::lists": str(self.state / "lists"),
            "Dir::State::status": str(self.base.status),
            "Dir::State::extended_states": str(self.state / "extended_states"),
            "Dir::Cache": str(self.state),
            "Dir::Cache::archives": str(self.state / "archives"),
            "APT::Architecture": self.base.arch.debian,
            "APT::Architectures": self.base.arch.debian,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Debug::NoLocking": "true",
        }
        return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]

    def _explain(self, output: str) -> str:
        lines = [line for line in output.splitlines() if line.startswith(("E:", " ")) and line.strip()]
        text = "\n".join(lines) or output
        match = re.search(r"Unable to locate package (\S+)", output)
        if match:
            close = difflib.get_close_matches(match.group(1), self._known_names(), n=3, cutoff=0.75)
            if close:
                text += f"\ndid you mean {' or '.join(close)}?"
        return f"apt cannot give what the recipe asks for:\n{text}"

    def _known_names(self) -> list[str]:
        argv = [find_tool("apt-cache", "the Debian package apt"), *self._options(), "pkgnames"]
        return run_tool(argv, environment=clean_environment()).split()


def parse_simulation(output: str) -> tuple[Candidate, ...]:
    """The `Inst` lines of `apt-get --simulate install`."""
    found = []
    for line in output.splitlines():
        match = _INSTALL.match(line)
        if match:
            found.append(Candidate(match.group(1), match.group(3), match.group(4), match.group(2)))
    return tuple(sorted(found, key=lambda candidate: candidate.name))


def parse_control(text: str) -> dict[str, str]:
    """The fields of one control paragraph; continuation lines are joined."""
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t"):
            if key:
                fields[key] += "\n" + line.strip()
        elif ":" in line:
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    return fields


def relation_names(text: str) -> tuple[str, ...]:
    """Names in a Depends-like field, every alternative, without versions and architectures."""
    names = (re.sub(r"[\s:(\[].*", "", part.strip(), flags=re.DOTALL) for part in re.split(r"[,|]", text))
    return tuple(dict.fromkeys(name for name in names if name))


def _arch_of(pin: Pin) -> str:
    return pin.filename.removesuffix(".deb").rpartition("_")[2]
