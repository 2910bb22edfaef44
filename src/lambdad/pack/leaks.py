"""Which files a traced test looked for at their old place: the leak report. Pure: strace's text in, values out.

A leak is an access to a path under /usr, /etc or /var that the layer moved away. Looking along PATH or the library
path and not finding is how shells and ld.so work, and is counted apart as a probe.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lambdad.pack.manifest import FileEntry
from lambdad.pack.relocate import Ownership, canonical
from lambdad.pack.target import ENVIRONMENT, LIBRARY_PATH, Arch

LINES_MAX = 2_000_000
_RESUMED = re.compile(r"^\d+\s+<\.\.\. \w+ resumed>(.*)$")
_CALL = re.compile(r'^(?:\d+\s+)?(\w+)\([^"]*"(/[^"]{0,4096})"(.*)$')


@dataclass(frozen=True, slots=True)
class Leak:
    """A path that the layer moved and something still asked for. found: the file was there (in the base)."""

    path: str
    call: str
    count: int
    found: bool


@dataclass(frozen=True, slots=True)
class LeakReport:
    """leaks: most frequent first; probes: number of harmless searches along PATH and library paths."""

    leaks: tuple[Leak, ...]
    probes: int


def _whole_calls(trace: str) -> Iterator[str]:
    """Lines of a trace with calls that another process interrupted put together again."""
    open_calls: dict[str, str] = {}
    for number, line in enumerate(trace.splitlines()):
        if number > LINES_MAX:
            return
        process = line.partition(" ")[0]
        if line.endswith("<unfinished ...>"):
            open_calls[process] = line.removesuffix("<unfinished ...>")
        elif resumed := _RESUMED.match(line):
            yield open_calls.pop(process, "") + resumed.group(1)
        else:
            yield line
    yield from open_calls.values()


def find_leaks(trace: str, files: Iterable[FileEntry], arch: Arch) -> LeakReport:
    """Read what strace wrote of a test that was in its root. Raises nothing: a line that is no call is passed over."""
    ownership = Ownership(entry.origin for entry in files if entry.origin)
    searched = {canonical(path) for path in (ENVIRONMENT["PATH"] + ":" + LIBRARY_PATH).split(":")}
    searched |= {canonical(path) for path in arch.system_directories}
    counts: Counter[tuple[str, str, bool]] = Counter()
    probes = 0
    for line in _whole_calls(trace):
        match = _CALL.match(line)
        if match is None:
            continue
        call, raw, rest = match.groups()
        path = canonical(raw)
        if not path.startswith(("/usr/", "/etc/", "/var/")) or not ownership.owns(path):
            continue
        found = "ENOENT" not in rest and " = -1 " not in rest
        directory = re.sub(r"/glibc-hwcaps/.*$", "", path.rpartition("/")[0])
        if not found and directory in searched:
            probes += 1
        else:
            counts[path, call, found] += 1
    leaks = [Leak(path, call, count, found) for (path, call, found), count in counts.items()]
    return LeakReport(tuple(sorted(leaks, key=lambda leak: (-leak.count, leak.path))), probes)
