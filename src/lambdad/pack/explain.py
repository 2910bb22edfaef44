"""`why`, `diff` and sizes: questions about built layers. Pure but for reading ELF files through a `Resolver`."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from lambdad.pack.elf import ElfError
from lambdad.pack.manifest import FileEntry, Manifest
from lambdad.pack.resolver import Resolver


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one file is in a layer. chain: packages from what the recipe names to the file's own; users: paths
    under /opt of ELF files that load it directly; origin: where it stood in the package.
    """

    entry: FileEntry
    package: str
    version: str
    chain: tuple[str, ...]
    users: tuple[str, ...]


def find_entries(manifest: Manifest, wanted: str) -> list[FileEntry]:
    """Entries that `wanted` means: a path under /opt, an old path, or a file name or soname."""
    relative = wanted.removeprefix("/opt/")
    exact = [entry for entry in manifest.files if relative == entry.path or wanted == entry.origin]
    return exact or [entry for entry in manifest.files if posixpath.basename(entry.path) == wanted]


def explain(manifest: Manifest, entry: FileEntry, resolver: Resolver) -> Reason:
    """Why `entry` is there."""
    packages = {package.name: package for package in manifest.packages}
    package = packages.get(entry.package)
    return Reason(
        entry,
        entry.package if ":" in entry.package else "own file",
        package.version if package else "",
        package.wanted_by if package else (),
        tuple(_users(manifest, entry, resolver)),
    )


def _users(manifest: Manifest, wanted: FileEntry, resolver: Resolver) -> list[str]:
    target = resolver.root.lookup(f"/opt/{wanted.path}")
    if target is None:
        return []
    users = []
    for entry in manifest.files:
        node = resolver.root.lookup(f"/opt/{entry.path}") if entry.kind == "file" else None
        if node is None:
            continue
        try:
            elf = resolver.read(node)
            linkage = resolver.link_program(node.path) if elf.executable else resolver.link_library(node.path)
        except ElfError:
            continue
        if any(one.node == target and one.loader is linkage.objects[0] for one in linkage.objects[1:]):
            users.append(entry.path)
    return users


@dataclass(frozen=True, slots=True)
class Difference:
    """From layer A to layer B. packages: name, old version, new version (empty: absent); changed: same path, other
    content; sizes are bytes unzipped.
    """

    packages: tuple[tuple[str, str, str], ...]
    added: tuple[FileEntry, ...]
    removed: tuple[FileEntry, ...]
    changed: tuple[tuple[FileEntry, FileEntry], ...]
    size_before: int
    size_after: int


def compare(before: Manifest, after: Manifest) -> Difference:
    """What would change for a function that moves from one layer to the other."""
    old = {entry.path: entry for entry in before.files}
    new = {entry.path: entry for entry in after.files}
    old_versions = {package.name: package.version for package in before.packages}
    new_versions = {package.name: package.version for package in after.packages}
    packages = tuple(
        (name, old_versions.get(name, ""), new_versions.get(name, ""))
        for name in sorted(old_versions.keys() | new_versions.keys())
        if old_versions.get(name) != new_versions.get(name)
    )
    changed = tuple(
        (old[path], new[path])
        for path in sorted(old.keys() & new.keys())
        if (old[path].kind, old[path].mode, old[path].digest) != (new[path].kind, new[path].mode, new[path].digest)
    )
    return Difference(
        packages=packages,
        added=tuple(new[path] for path in sorted(new.keys() - old.keys())),
        removed=tuple(old[path] for path in sorted(old.keys() - new.keys())),
        changed=changed,
        size_before=before.size,
        size_after=after.size,
    )


@dataclass(frozen=True, slots=True)
class Split:
    """Layers with their common packages taken out. shared: entries of the common layer; kept: packages that several
    layers have with different bytes, which therefore stay where they are; rests: remaining entries by layer.
    """

    shared: tuple[FileEntry, ...]
    packages: tuple[str, ...]
    kept: tuple[str, ...]
    rests: tuple[tuple[FileEntry, ...], ...]


def split_shared(manifests: Sequence[Manifest]) -> Split:
    """Take out what at least two layers have in common: whole packages, so that upgrades stay whole."""
    units = [_units(manifest) for manifest in manifests]
    shared: dict[str, tuple[FileEntry, ...]] = {}
    kept: list[str] = []
    for name in sorted({name for unit in units for name in unit}):
        having = [unit[name] for unit in units if name in unit]
        if len(having) < 2:
            continue
        if all(_content(entries) == _content(having[0]) for entries in having):
            shared[name] = having[0]
        else:
            kept.append(name)
    paths = {entry.path for entries in shared.values() for entry in entries}
    needed = _with_directories(paths, manifests)
    rests = tuple(_without(manifest, paths) for manifest in manifests)
    return Split(needed, tuple(shared), tuple(kept), rests)


def _units(manifest: Manifest) -> dict[str, tuple[FileEntry, ...]]:
    found: dict[str, list[FileEntry]] = {}
    for entry in manifest.files:
        if entry.kind != "directory" and ":" in entry.package:
            found.setdefault(entry.package, []).append(entry)
    return {name: tuple(entries) for name, entries in found.items()}


def _content(entries: Sequence[FileEntry]) -> set[tuple[str, str, int, str]]:
    return {(entry.path, entry.kind, entry.mode, entry.digest) for entry in entries}


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _with_directories(paths: set[str], manifests: Sequence[Manifest]) -> tuple[FileEntry, ...]:
    wanted = paths | {parent for path in paths for parent in _parents(path)}
    found = {entry.path: entry for manifest in manifests for entry in manifest.files if entry.path in wanted}
    return tuple(found[path] for path in sorted(found))


def _without(manifest: Manifest, paths: set[str]) -> tuple[FileEntry, ...]:
    left = [entry for entry in manifest.files if entry.path not in paths]
    used = {parent for entry in left if entry.kind != "directory" for parent in _parents(entry.path)}
    return tuple(entry for entry in left if entry.kind != "directory" or entry.path in used)
