"""Taking out what a layer does not need: by pattern, and what no entry point can reach. Pure decisions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lambdad.pack.elf import ElfError, mentioned_sonames
from lambdad.pack.resolver import Resolver
from lambdad.pack.tree import Node


def pattern(glob: str) -> re.Pattern[str]:
    """A glob over paths under /opt: `*` stays in one directory, `**` does not; a directory means all below it."""
    out = []
    for part in re.split(r"(\*\*/?|\*|\?)", glob.rstrip("/")):
        match part:
            case "**/":
                out.append("(?:.*/)?")
            case "**":
                out.append(".*")
            case "*":
                out.append("[^/]*")
            case "?":
                out.append("[^/]")
            case _:
                out.append(re.escape(part))
    return re.compile("".join(out) + r"(?:/.*)?\Z", re.DOTALL)


def matching(paths: Iterable[str], globs: Sequence[str]) -> tuple[set[str], list[str]]:
    """The paths that some glob names, and the globs that name none."""
    compiled = [(glob, pattern(glob)) for glob in globs]
    found: set[str] = set()
    used: set[str] = set()
    for path in paths:
        for glob, regex in compiled:
            if regex.match(path):
                found.add(path)
                used.add(glob)
    return found, [glob for glob in globs if glob not in used]


def unreachable(resolver: Resolver, nodes: Sequence[Node], entrypoints: Sequence[str]) -> set[str]:
    """Paths under /opt of ELF files that the entry points neither are, nor link to, nor mention by soname.

    Scripts and data are never in the answer: only for ELF files it can be known.
    """
    elves: dict[str, Node] = {}
    by_name: dict[str, list[str]] = {}
    for node in nodes:
        relative = node.path.removeprefix("/opt/")
        real = resolver.root.lookup(node.path)
        if real is None or not real.is_file:
            continue
        try:
            resolver.read(real)
        except ElfError:
            continue
        elves[relative] = real
        by_name.setdefault(relative.rpartition("/")[2], []).append(relative)
    entries, _ = matching(elves, entrypoints)
    reached: set[str] = set()
    pending = [f"/opt/{path}" for path in sorted(entries)]
    while pending:
        path = pending.pop()
        found = resolver.root.lookup(path)
        if found is None or found.path in reached:
            continue
        reached.add(found.path)
        try:
            elf = resolver.read(found)
            linkage = resolver.link_program(path) if elf.executable else resolver.link_library(path)
        except ElfError:
            continue
        pending.extend(loaded.path for loaded in linkage.objects)
        if found.path.startswith("/opt/"):
            names = mentioned_sonames(found.host.read_bytes()) | set(elf.dlopens)
            pending.extend(f"/opt/{other}" for name in names for other in by_name.get(name, ()))
    return {relative for relative, real in elves.items() if real.path not in reached and real.path.startswith("/opt/")}
