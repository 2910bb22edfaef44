"""Moving files from /usr, /etc and /var to /opt without changing the length of anything.

All these names have four bytes, so a path inside an ELF file, script or configuration is rewritten in place. A path
is rewritten only if the layer owns it: the path or a directory above it is in the layer and not in the base; so
`/bin/sh` and `/usr/share/zoneinfo` stay what they are. Pure: bytes and strings in, bytes and strings out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_TOKEN = re.compile(
    rb"(?<![\w.])/(?:usr|etc|var)/[\w.+@~%=,\-](?:[\w.+@~%=,\-]|(?<=[\w.])/|/(?!(?:usr|etc|var)/)){0,1000}"
)
"""A path. What would begin one by itself, as in `a//usr/b` and `a=/usr/b`, is not part of the one before it."""
_IMMEDIATE = re.compile(rb"[\x48\x49][\xb8-\xbf](/(?:usr|etc|var)/[\w.+\-]{3})")
"""REX.W MOV r64, imm64: how compilers inline the beginning of a short string."""
BEGINNING = 8
"""How many bytes of a path such an instruction holds."""
_BARE = re.compile(rb"(?<=\0)/usr(?=/?\0)")
_LOOSE_END = ".,=%~+-/"

BARE_PREFIX_PACKAGES = frozenset({"git"})
"""Packages known to join a lone `/usr` with the rest of a path at run time, and proven to work with `/opt`."""


def canonical(path: str) -> str:
    """`path` without `.`, `..` and the merged-/usr links of Debian: /lib/x is /usr/lib/x."""
    normal = posixpath.normpath(path)
    first = normal.split("/", 2)[1] if normal.startswith("/") else ""
    return f"/usr{normal}" if first in _MERGED else normal


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where paths go. writable: directories of /var whose content must be writable, which move to /tmp."""

    writable: tuple[str, ...] = ()

    def target(self, origin: str) -> str | None:
        """The new place of a canonical path; None for one that a layer cannot carry (/run, /home, /usr itself)."""
        top, _, rest = origin.lstrip("/").partition("/")
        if not rest or top not in ("usr", "etc", "var", "opt"):
            return None
        return f"/{self._prefix(origin)}/{rest}"

    def _prefix(self, origin: str) -> str:
        for path in self.writable:
            if origin == path or origin.startswith(path.rstrip("/") + "/"):
                return "tmp"
        return "opt"

    def prefix(self, origin: str) -> bytes:
        """The four bytes that replace `/usr`, `/etc` or `/var` at the start of `origin`."""
        return f"/{self._prefix(origin)}".encode()


class Ownership:
    """Which paths of the old world the layer owns.

    owned: canonical paths that are in the layer and not in the base; foreign: the first `BEGINNING` characters of
    paths that the base has.
    """

    def __init__(self, owned: Iterable[str], foreign: frozenset[str] = frozenset()) -> None:
        self._owned = frozenset(owned)
        self._beginnings = frozenset(path[:BEGINNING] for path in self._owned) - foreign

    def owns(self, path: str) -> bool:
        """Whether `path` or a directory above it is owned."""
        if path in self._owned:
            return True
        at = path.rfind("/")
        while at > 0:
            path = path[:at]
            if path in self._owned:
                return True
            at = path.rfind("/")
        return False

    def starts(self, beginning: str) -> bool:
        """Whether some owned path starts with these `BEGINNING` characters, and none of the base."""
        return beginning in self._beginnings


@dataclass(frozen=True, slots=True)
class Rewritten:
    """New content, the number of replacements, and what was seen in instructions but left (see `Relocation`)."""

    data: bytes
    count: int
    immediates: tuple[str, ...] = ()


def rewrite_bytes(
    data: bytes, ownership: Ownership, mapping: Mapping, *, bare_prefix: bool = False, immediates: bool = False
) -> Rewritten:
    """Move every owned path in `data`; the result is as long as `data`."""
    edits: list[tuple[int, bytes]] = []
    for match in _TOKEN.finditer(data):
        path = match.group(0).decode("utf-8", "surrogateescape")
        plain = path.rstrip(_LOOSE_END)
        if ownership.owns(path) or ownership.owns(plain):
            edits.append((match.start(), mapping.prefix(plain)))
    if bare_prefix:
        edits.extend((match.start(), b"/opt") for match in _BARE.finditer(data))
    seen = []
    for match in _IMMEDIATE.finditer(data):
        beginning = match.group(1).decode("ascii")
        if not ownership.starts(beginning):
            continue
        if immediates:
            edits.append((match.start(1), b"/opt"))
        else:
            seen.append(beginning)
    if not edits:
        return Rewritten(data, 0, tuple(seen))
    changed = bytearray(data)
    for at, prefix in edits:
        changed[at : at + 4] = prefix
    assert len(changed) == len(data)
    return Rewritten(bytes(changed), len(edits), tuple(seen))


def rewrite_link(origin: str, target: str, ownership: Ownership, mapping: Mapping) -> str:
    """The new target of a link that stood at `origin`: relative inside the layer, absolute into the base."""
    absolute = canonical(posixpath.join(posixpath.dirname(origin), target))
    here = mapping.target(origin)
    there = mapping.target(absolute)
    if here is None or there is None or not ownership.owns(absolute):
        return absolute
    if there.split("/", 2)[1] != here.split("/", 2)[1]:
        return there
    return posixpath.relpath(there, posixpath.dirname(here))
