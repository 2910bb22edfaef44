"""`lambdad layer check`: what would go wrong with a layer on its base, found without running it.

Returns findings; the CLI decides what they mean for the exit status. Each names the file, the rule and the remedy.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lambdad.model.limits import LAYERS_MAX, UNZIPPED_MAX, ZIP_MAX
from lambdad.pack.elf import MAGIC, ElfError
from lambdad.pack.manifest import FileEntry
from lambdad.pack.resolver import Linkage, Resolver, glibc_version
from lambdad.pack.tree import Node


class Severity(StrEnum):
    """error: it will fail; warning: it may; note: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result. rule: a stable word such as `missing-library`; path: under /opt or empty for the whole."""

    severity: Severity
    rule: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Linked:
    """What the ELF files of a layer need. glibc: the oldest version that satisfies them all."""

    findings: tuple[Finding, ...]
    glibc: tuple[int, int]
    programs: int
    libraries: int


def check_linkage(resolver: Resolver, nodes: Sequence[Node]) -> Linked:
    """Resolve every ELF file among `nodes`, as the loader would under Lambda's LD_LIBRARY_PATH."""
    findings: list[Finding] = []
    floor = (0, 0)
    programs = libraries = 0
    for node in nodes:
        if not node.is_file or not _starts_like_elf(node):
            continue
        path = node.path.removeprefix("/opt/")
        try:
            elf = resolver.read(node)
            if elf.machine != resolver.arch.machine:
                text = f"is for {elf.machine.removeprefix('EM_')}, not {resolver.arch.lambda_name}"
                findings.append(Finding(Severity.WARNING, "wrong-machine", path, text))
                continue
            if not elf.dynamic or elf.kind not in ("ET_DYN", "ET_EXEC"):
                continue
            linkage = resolver.link_program(node.path) if elf.executable else resolver.link_library(node.path)
        except ElfError as error:
            findings.append(Finding(Severity.ERROR, "broken-elf", path, str(error)))
            continue
        programs += elf.executable
        libraries += not elf.executable
        floor = max(floor, glibc_version(elf))
        findings += _linkage_findings(path, linkage, elf.executable)
    return Linked(tuple(findings), floor, programs, libraries)


def _starts_like_elf(node: Node) -> bool:
    with node.host.open("rb") as stream:
        return stream.read(4) == MAGIC


def _linkage_findings(path: str, linkage: Linkage, program: bool) -> list[Finding]:
    found = []
    severity = Severity.ERROR if program else Severity.WARNING
    for missing in linkage.missing:
        if missing.wanted_by.startswith("/opt/") and missing.wanted_by != f"/opt/{path}":
            continue  # reported once, at the file that wants it
        text = (
            f"the interpreter {missing.name} does not exist: the kernel will say “No such file or directory”"
            if missing.name.startswith("/")
            else f"needs {missing.name}, which is neither in the base nor in a layer: add the package that has it"
        )
        found.append(Finding(severity, "missing-library", path, text))
    for broken in linkage.broken:
        text = f"{broken.path}: {broken.reason} (loaded for {broken.wanted_by})"
        found.append(Finding(severity, "broken-library", path, text))
    for entry in linkage.unversioned:
        if entry.wanted_by != f"/opt/{path}":
            continue
        text = f"needs {entry.version} of {entry.library}, and {entry.provider} does not have it: " + (
            "build against an older glibc, or use a base with a newer one"
            if entry.version.startswith("GLIBC_")
            else "the layer's own build of the library is shadowed or missing"
        )
        found.append(Finding(Severity.NOTE if entry.weak else severity, "version", path, text))
    found.extend(
        Finding(Severity.WARNING, "relative-rpath", path, text)
        for text in linkage.relative
        if text.startswith(f"/opt/{path}:")
    )
    return found


def check_shadowing(resolver: Resolver, nodes: Sequence[Node], system: Mapping[str, str]) -> list[Finding]:
    """Libraries of the layer whose name the base has too: who gets which. system: soname to path in the base."""
    owned = {posixpath.basename(node.path): node.path for node in nodes if ".so" in posixpath.basename(node.path)}
    shared = {name for name in owned if name in system}
    users: dict[str, list[str]] = {name: [] for name in shared}
    for node in nodes:
        if not node.is_file or not _starts_like_elf(node):
            continue
        try:
            elf = resolver.read(node)
            if not shared & set(elf.needed):
                continue
            linkage = resolver.link_program(node.path) if elf.executable else resolver.link_library(node.path)
        except ElfError:
            continue
        for loaded in linkage.objects:
            if loaded.name in shared and loaded.node.path.startswith(("/usr/", "/lib")):
                users[loaded.name].append(node.path)
    return [
        Finding(
            Severity.WARNING,
            "shadowed",
            owned[name].removeprefix("/opt/"),
            f"the base's {system[name]} is loaded instead by {_few(paths)}: LD_LIBRARY_PATH names the system first",
        )
        for name, paths in sorted(users.items())
        if paths
    ]


def check_paths(resolver: Resolver, files: Sequence[FileEntry]) -> list[Finding]:
    """Links that lead nowhere or out, modes that fail at run time, names with a meaning."""
    found = []
    for entry in files:
        inside = f"/opt/{entry.path}"
        if entry.kind == "link":
            if resolver.root.lookup(inside) is None:
                text = f"the link to {entry.digest} leads nowhere"
                found.append(Finding(Severity.WARNING, "dangling-link", entry.path, text))
            elif entry.digest.startswith("/tmp"):
                text = f"the link leads to {entry.digest}, which is empty when a function starts"
                found.append(Finding(Severity.NOTE, "link-to-tmp", entry.path, text))
        elif not entry.mode & 0o004 or (entry.kind == "directory" and not entry.mode & 0o001):
            text = f"mode {entry.mode:04o} is not readable by sbx_user1051: permission denied at run time"
            found.append(Finding(Severity.ERROR, "unreadable", entry.path, text))
        if entry.mode & 0o6000:
            found.append(Finding(Severity.NOTE, "setuid", entry.path, "setuid and setgid have no effect in Lambda"))
        started = entry.path == "bootstrap" or posixpath.dirname(entry.path) == "extensions"
        if started and entry.kind == "file" and not entry.mode & 0o001:
            found.append(Finding(Severity.ERROR, "not-executable", entry.path, "Lambda starts it: make it executable"))
        if posixpath.dirname(entry.path) == "extensions" and entry.kind == "directory":
            found.append(Finding(Severity.WARNING, "extension", entry.path, "extensions are files, not directories"))
    return found


def check_size(parts: Mapping[str, int], own: str, zip_size: int | None, budget: int | None) -> list[Finding]:
    """The 250 MB sum over everything that a function would have, by name; and the recipe's own budget."""
    found = []
    total = sum(parts.values())
    listing = ", ".join(f"{name} {size:,}" for name, size in sorted(parts.items(), key=lambda part: -part[1]))
    if total > UNZIPPED_MAX:
        text = f"{total:,} bytes unzipped ({listing}) are more than Lambda's {UNZIPPED_MAX:,}"
        found.append(Finding(Severity.ERROR, "size", "", text))
    else:
        text = f"{total:,} of {UNZIPPED_MAX:,} bytes unzipped ({listing})"
        found.append(Finding(Severity.NOTE, "size", "", text))
    if budget is not None and parts.get(own, 0) > budget:
        text = f"{parts[own]:,} bytes are over the recipe's budget of {budget:,}: see `layer why` and prune"
        found.append(Finding(Severity.ERROR, "budget", "", text))
    if zip_size is not None and zip_size > ZIP_MAX:
        text = f"the zip has {zip_size:,} bytes: over {ZIP_MAX:,} it goes through a bucket (publish --bucket)"
        found.append(Finding(Severity.NOTE, "zip-size", "", text))
    return found


def check_merge(layers: Sequence[tuple[str, Sequence[FileEntry]]]) -> list[Finding]:
    """What happens where layers meet at /opt: the later one wins; a file cannot stand where a directory was."""
    found = []
    if len(layers) > LAYERS_MAX:
        found.append(Finding(Severity.ERROR, "layers", "", f"Cannot reference more than {LAYERS_MAX} layers."))
    seen: dict[str, tuple[str, FileEntry]] = {}
    for name, files in layers:
        for entry in files:
            earlier = seen.get(entry.path)
            if earlier is not None:
                owner, other = earlier
                if (other.kind == "directory") != (entry.kind == "directory"):
                    text = f"is a {other.kind} in {owner} and a {entry.kind} in {name}"
                    found.append(Finding(Severity.ERROR, "type-clash", entry.path, text))
                elif entry.kind != "directory" and (other.kind, other.digest) != (entry.kind, entry.digest):
                    text = f"{name} replaces what {owner} has there, with other content"
                    found.append(Finding(Severity.WARNING, "conflict", entry.path, text))
            seen[entry.path] = (name, entry)
    return found


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
