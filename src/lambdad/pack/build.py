"""From a recipe to a zip: resolve, then stage by stage install, relocate, prune and test, the smallest first.

A stage is everything that it and the stages before it ask for, built from nothing, so the last stage's bytes do not
depend on how it was reached. Finished stages are cached under the digest of all that went into them: base, locked
packages, own files, rules. The zip, its manifest and the lock come out; nothing else is written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lambdad.pack.apt import Apt
from lambdad.pack.archive import write_zip
from lambdad.pack.assemble import place_files, place_packages
from lambdad.pack.base import Base, open_base
from lambdad.pack.cache import Cache, remove_tree
from lambdad.pack.check import check_linkage
from lambdad.pack.errors import PackError
from lambdad.pack.foreign import make_base
from lambdad.pack.install import install
from lambdad.pack.lock import Lock, Pin, dump_lock, parse_lock
from lambdad.pack.manifest import (
    FileEntry,
    Manifest,
    PackageEntry,
    content_digest,
    dump_manifest,
    parse_manifest,
    scan_tree,
)
from lambdad.pack.node import install_npm, resolve_npm
from lambdad.pack.process import can_execute
from lambdad.pack.prune import matching, unreachable
from lambdad.pack.recipe import Packages, Recipe, Stage
from lambdad.pack.requirements import named_requirements
from lambdad.pack.resolver import Resolver
from lambdad.pack.rpm import Rpm
from lambdad.pack.rpm_install import install_rpms
from lambdad.pack.smoke import SmokeRunner
from lambdad.pack.target import ENVIRONMENT, LIBRARY_PATH, Arch
from lambdad.pack.wheels import fetch_wheels, unpack_wheel, wheel_files

_LIVE = ("/proc/", "/dev/", "/tmp/", "/run/", "/var/task/", "/var/runtime/")
"""Where links may lead although nothing is there yet."""

RULES = 4
"""Counts changes of how layers are made; part of every stage's digest."""


class Progress(Protocol):
    """Told what a build is doing, for a progress display."""

    def step(self, stage: str, doing: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Built:
    """A finished layer. tree: its content, in the cache; reused: names of stages that came from the cache."""

    manifest: Manifest
    tree: Path
    lock: Lock
    reused: tuple[str, ...]


@dataclass(slots=True)
class Builder:
    """Builds one recipe. directory: where the recipe's own files are."""

    recipe: Recipe
    directory: Path
    base: Base
    cache: Cache
    runner: SmokeRunner
    progress: Progress
    replaced: list[str] = field(default_factory=list)

    @property
    def arch(self) -> Arch:
        return self.base.arch

    def resolve(self) -> Lock:
        """Everything that the recipe needs, exactly, from the registries. Raises PackError."""
        wanted = self.recipe.everything
        self.progress.step("resolve", "packages")
        apt = Apt(self.base, self.cache)
        candidates = apt.resolve(wanted.apt)
        self.replaced = [f"{one.name} {one.replaces} -> {one.version}" for one in candidates if one.replaces]
        pins = list(apt.fetch(candidates))
        if wanted.pip:
            self.progress.step("resolve", "wheels")
            pins += fetch_wheels(
                named_requirements(wanted.pip, "pip"), self.recipe.python, self.arch, self.glibc, self.cache
            )
        if wanted.rpm:
            self.progress.step("resolve", "rpm packages")
            pins += self.rpm.resolve(wanted.rpm)
        npm = ""
        if wanted.npm:
            self.progress.step("resolve", "npm packages")
            npm_pins, npm = resolve_npm(wanted.npm, self.arch, self.cache)
            pins += npm_pins
        return Lock(
            base=self.base.digest,
            arch=self.arch.lambda_name,
            wanted=wanted_digest(wanted),
            pins=tuple(sorted(pins, key=lambda pin: (pin.source, pin.name))),
            npm=npm,
        )

    @property
    def rpm(self) -> Rpm:
        """The recipe's rpm repositories."""
        return Rpm(self.base, self.cache, self.recipe.rpm, self.directory)

    def usable_lock(self, path: Path) -> Lock | None:
        """The lock at `path` if it is for this recipe, base and architecture. Raises PackError if it is broken."""
        if not path.exists():
            return None
        lock = parse_lock(path.read_text())
        ours = (self.base.digest, self.arch.lambda_name, wanted_digest(self.recipe.everything))
        return lock if (lock.base, lock.arch, lock.wanted) == ours else None

    @property
    def glibc(self) -> tuple[int, int]:
        """The base's glibc."""
        match = re.match(r"(\d+)\.(\d+)", self.base.packages.get("libc6", ""))
        if match is None:
            raise PackError(f"{self.base.directory} has no libc6: it cannot carry wheels")
        return int(match[1]), int(match[2])

    def build(self, lock: Lock) -> Built:
        """Build and test every stage. Raises PackError at the first that fails."""
        stages = self.recipe.stages or (Stage("all", Packages(), None),)
        reused = []
        for number, stage in enumerate(stages):
            wanted = self.recipe.upto(number) if self.recipe.stages else self.recipe.packages
            pins = stage_pins(lock, wanted, self.base.packages)
            digest = self._stage_digest(wanted, pins, lock.npm if wanted.npm else "", number + 1 == len(stages))
            directory = self.cache.stages / digest[:32]
            if (directory / "manifest.json").exists():
                self.progress.step(stage.name, "from the cache")
                reused.append(stage.name)
                directory.touch()
            else:
                self._build_stage(stage, wanted, pins, lock, directory, number + 1 == len(stages))
            tested = directory / f"passed-{hashlib.sha256((stage.test or '').encode()).hexdigest()[:16]}"
            if stage.test is not None and not can_execute(self.arch):
                self.progress.step(
                    stage.name, f"not tested: this machine cannot execute {self.arch.lambda_name} programs"
                )
            elif stage.test is not None and not tested.exists():
                self.progress.step(stage.name, "test")
                self.run_test(directory / "tree", stage.name, stage.test)
                tested.touch()
        manifest = parse_manifest((directory / "manifest.json").read_text())
        return Built(manifest, directory / "tree", lock, tuple(reused))

    def run_test(self, tree: Path, name: str, command: str) -> str:
        """The output of one stage's test. Raises PackError with it if the test fails."""
        result = self.runner.run(self.base.rootfs, (tree,), command, {**ENVIRONMENT, **self.recipe.environment})
        if result.status != 0:
            raise PackError(f"stage {name}: the test ended with status {result.status}: {command}\n{result.output}")
        return result.output

    def _stage_digest(self, wanted: Packages, pins: tuple[Pin, ...], npm: str, last: bool) -> str:
        recipe = self.recipe
        inputs = [
            RULES, self.base.digest, self.arch.lambda_name, recipe.name, recipe.python, npm, last,
            [[pin.source, pin.name, pin.version, pin.sha256] for pin in pins],
            [recipe.relocation.bare_prefix, recipe.relocation.immediates, recipe.relocation.writable],
            [recipe.prune.remove, recipe.prune.unreachable, recipe.entrypoints],
            [recipe.description, recipe.licence, recipe.runtimes, sorted(recipe.environment.items())],
            [[stage.name, stage.test] for stage in recipe.stages],
            [[target, _source_digest(self.directory / source)] for target, source in sorted(wanted.files.items())],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()

    def _build_stage(
        self, stage: Stage, wanted: Packages, pins: tuple[Pin, ...], lock: Lock, directory: Path, last: bool
    ) -> None:
        with self.cache.scratch() as scratch:
            tree = scratch / "tree"
            tree.mkdir()
            facts, notes = self._fill(stage.name, wanted, pins, lock, scratch, tree)
            facts |= place_files(wanted.files, self.directory, tree)
            if last:
                notes += self._prune(stage.name, tree)
            notes += self._drop_dead_links(tree)
            self.progress.step(stage.name, "list")
            files = scan_tree(tree, facts)
            linked = check_linkage(self.resolver(tree), list(self.base.root(tree).walk("/opt")))
            manifest = self._manifest(lock, pins, wanted, files, linked.glibc, notes)
            (scratch / "manifest.json").write_text(dump_manifest(manifest))
            remove_tree(directory)
            directory.mkdir()
            tree.rename(directory / "tree")
            (scratch / "manifest.json").rename(directory / "manifest.json")

    def _fill(
        self, name: str, wanted: Packages, pins: tuple[Pin, ...], lock: Lock, scratch: Path, tree: Path
    ) -> tuple[dict[str, tuple[str, str]], list[str]]:
        facts: dict[str, tuple[str, str]] = {}
        notes: list[str] = []
        debs = Apt(self.base, self.cache).files(pin for pin in pins if pin.source == "apt")
        rpms = self.rpm.files(pin for pin in pins if pin.source == "rpm")
        if debs or rpms:
            self.progress.step(name, f"install {len(debs) + len(rpms)} packages")
            installed = install(self.base, debs, scratch).plus(install_rpms(self.base, rpms, scratch))
            self.progress.step(name, f"relocate {len(installed.changes)} paths")
            placed = place_packages(installed, tree, self.recipe.relocation, self.arch)
            facts |= placed.facts
            notes += [*placed.notes, f"{placed.replacements} paths moved in {placed.rewritten_files} files"]
        wheels = [pin for pin in pins if pin.source == "pip"]
        if wheels:
            self.progress.step(name, f"unpack {len(wheels)} wheels")
        paths = wheel_files(wheels, self.recipe.python, self.arch, self.glibc, self.cache)
        for pin, path in zip(wheels, paths, strict=True):
            facts |= unpack_wheel(path, tree, pin.name)
        if wanted.npm:
            self.progress.step(name, "install npm packages")
            facts |= install_npm(lock.npm, self.arch, tree)
        return facts, notes

    def resolver(self, tree: Path) -> Resolver:
        """Links files of `tree` as Lambda would on this base."""
        return Resolver(self.base.root(tree), self.arch, library_path=LIBRARY_PATH)

    def _prune(self, name: str, tree: Path) -> list[str]:
        prune = self.recipe.prune
        notes = []
        if prune.remove:
            self.progress.step(name, "prune")
            paths = [str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))]
            found, unused = matching(paths, prune.remove)
            _remove(tree, found)
            notes += [f"prune.remove: {glob} matches nothing" for glob in unused]
        if prune.unreachable:
            self.progress.step(name, "prune what no entry point reaches")
            nodes = list(self.base.root(tree).walk("/opt"))
            found = unreachable(self.resolver(tree), nodes, self.recipe.entrypoints)
            _remove(tree, found)
            notes.append(f"{len(found)} programs and libraries that no entry point reaches were left out")
        return notes

    def _drop_dead_links(self, tree: Path) -> list[str]:
        """Links to packages that are only suggested, or to what was left out, lead nowhere and help nobody."""
        root = self.base.root(tree)
        dead = {
            str(path.relative_to(tree))
            for path in sorted(tree.rglob("*"))
            if path.is_symlink()
            and not str(path.readlink()).startswith(_LIVE)
            and root.lookup(f"/opt/{path.relative_to(tree)}") is None
        }
        _remove(tree, dead)
        return [f"{len(dead)} links that lead nowhere were left out"] if dead else []

    def _manifest(
        self,
        lock: Lock,
        pins: tuple[Pin, ...],
        wanted: Packages,
        files: tuple[FileEntry, ...],
        glibc: tuple[int, int],
        notes: list[str],
    ) -> Manifest:
        sizes: dict[str, int] = {}
        for entry in files:
            sizes[entry.package] = sizes.get(entry.package, 0) + entry.size
        roots = wanted_names(wanted)
        packages = tuple(
            PackageEntry(
                name=f"{pin.source}:{pin.name}",
                version=pin.version,
                size=sizes.get(f"{pin.source}:{pin.name}", 0),
                wanted_by=lock.chain(pin.source, roots[pin.source], pin.name),
            )
            for pin in pins
        )
        recipe = self.recipe
        return Manifest(
            name=recipe.name,
            description=recipe.description,
            licence=recipe.licence,
            runtimes=recipe.runtimes,
            arch=self.arch.lambda_name,
            base=self.base.digest,
            base_name=self.base.name,
            glibc=f"{glibc[0]}.{glibc[1]}",
            content_digest=content_digest(files),
            files=files,
            packages=packages,
            tests=tuple((stage.name, stage.test) for stage in recipe.stages if stage.test is not None),
            environment=recipe.environment,
            notes=tuple(notes),
        )


def write_layer(built: Built, output: Path, lock_path: Path) -> None:
    """Write the zip, the manifest beside it and the lock."""
    output.parent.mkdir(parents=True, exist_ok=True)
    write_zip(built.tree, built.manifest.files, output)
    manifest_path(output).write_text(dump_manifest(built.manifest))
    lock_path.write_text(dump_lock(built.lock))


def manifest_path(zip_path: Path) -> Path:
    """Where the manifest of a layer zip is."""
    return zip_path.with_name(f"{zip_path.name.removesuffix('.zip')}.manifest.json")


def find_base(name: str, recipe_directory: Path, arch: Arch, cache: Cache, progress: Progress) -> Base:
    """The base that a recipe names: a directory beside it (with a slash in its name) or one in the cache, made
    first if need be.
    """
    if "/" in name:
        base = open_base(recipe_directory / name)
        if base.arch is not arch:
            raise PackError(f"{name} is for {base.arch.lambda_name}, and the layer for {arch.lambda_name}")
        return base
    directory = cache.bases / f"{name}-{arch.lambda_name}"
    if not directory.exists():
        progress.step("base", f"build {name} for {arch.lambda_name}")
        base, lacks = make_base(directory, name, arch, cache)
        if lacks:
            progress.step("base", lacks)
        return base
    return open_base(directory)


def stage_pins(lock: Lock, wanted: Packages, installed: Collection[str] = ()) -> tuple[Pin, ...]:
    """The locked packages that one stage needs. installed: packages of the base.

    Wheels carry no dependencies in the lock, so all of them come; a name that is neither a package of the lock nor of
    the base is a virtual one, and then all of Debian's come.
    """
    names = plain_names(wanted.apt)
    known = {pin.name for pin in lock.of("apt")}.union(installed)
    pins = list(lock.closure("apt", names) if known.issuperset(names) else lock.of("apt"))
    if wanted.rpm:
        roots = rpm_names(wanted.rpm)
        is_known = {pin.name for pin in lock.of("rpm")}.issuperset(roots)
        pins += lock.closure("rpm", roots) if is_known else lock.of("rpm")
    if wanted.npm:
        pins += lock.of("npm")
    if wanted.pip:
        pins += lock.of("pip")
    return tuple(sorted(pins, key=lambda pin: (pin.source, pin.name)))


def plain_names(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """`git=1:2.3`, `requests[socks]>=2` without versions and extras."""
    return tuple(re.split(r"[\s=<>!~;\[@]", name, maxsplit=1)[0].replace("_", "-").lower() for name in requirements)


def npm_names(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """`left-pad@1`, `@scope/name@2` without versions."""
    return tuple(name[:1] + name[1:].partition("@")[0] for name in requirements)


def rpm_names(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """`httpd`, `httpd >= 2.4` without versions."""
    return tuple(name.partition(" ")[0] for name in requirements)


def wanted_names(wanted: Packages) -> dict[str, tuple[str, ...]]:
    """The names that a recipe asks for, by source, without versions."""
    return {
        "apt": plain_names(wanted.apt),
        "pip": plain_names(wanted.pip),
        "npm": npm_names(wanted.npm),
        "rpm": rpm_names(wanted.rpm),
    }


def wanted_digest(wanted: Packages) -> str:
    """Names what a lock was made for."""
    sources = [wanted.apt, wanted.pip, wanted.npm, *([wanted.rpm] if wanted.rpm else [])]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:32]


def _source_digest(source: Path) -> str:
    if source.is_dir():
        return content_digest(scan_tree(source))
    if not source.is_file():
        raise PackError(f"files: {source} does not exist")
    executable = bool(source.stat().st_mode & 0o111)
    return f"{hashlib.sha256(source.read_bytes()).hexdigest()}{'x' if executable else ''}"


def _remove(tree: Path, paths: set[str]) -> None:
    for path in sorted(paths, reverse=True):
        host = tree / path
        if host.is_symlink() or host.is_file():
            host.unlink()
        elif host.is_dir():
            remove_tree(host)
    parents = {parent for path in paths for parent in Path(path).parents}
    for parent in sorted(parents, key=lambda parent: len(parent.parts), reverse=True):
        host = tree / parent
        if parent.parts and host.is_dir() and not any(host.iterdir()):
            host.rmdir()


def environment_of(manifest: Manifest) -> Mapping[str, str]:
    """Lambda's environment and what the layer asks its users to set."""
    return {**ENVIRONMENT, **manifest.environment}
