"""Versions of rpm packages: which is newer, and which satisfies a wish. Pure.

Source: rpm's `rpmvercmp` and its manual on dependencies: digits compare as numbers, letters as text, numbers are newer
than letters, `~` is older than anything, `^` newer than its end and older than anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest

_PARTS = re.compile(r"[0-9]+|[a-zA-Z]+|~|\^")


@dataclass(frozen=True, slots=True)
class Evr:
    """Epoch, version, release. release: empty in a wish for any release."""

    epoch: int
    version: str
    release: str = ""

    def __str__(self) -> str:
        epoch = f"{self.epoch}:" if self.epoch else ""
        release = f"-{self.release}" if self.release else ""
        return f"{epoch}{self.version}{release}"


def compare_parts(left: str, right: str) -> int:
    """-1, 0 or 1: how rpm orders two versions, or two releases."""
    if left == right:
        return 0
    for ours, theirs in zip_longest(_PARTS.findall(left), _PARTS.findall(right)):
        if ours == theirs:
            continue
        if "~" in (ours, theirs):
            return -1 if ours == "~" else 1
        if "^" in (ours, theirs):
            if None in (ours, theirs):
                return 1 if ours == "^" else -1
            return -1 if ours == "^" else 1
        if ours is None or theirs is None:
            return -1 if ours is None else 1
        if order := _compare_words(ours, theirs):
            return order
    return 0


def _compare_words(ours: str, theirs: str) -> int:
    if ours.isdigit() != theirs.isdigit():
        return 1 if ours.isdigit() else -1
    if ours.isdigit():
        left, right = ours.lstrip("0"), theirs.lstrip("0")
        ours, theirs = left.zfill(len(right)), right.zfill(len(left))
    return (ours > theirs) - (ours < theirs)


def compare(left: Evr, right: Evr) -> int:
    """-1, 0 or 1. Releases are compared only if both have one."""
    if left.epoch != right.epoch:
        return 1 if left.epoch > right.epoch else -1
    order = compare_parts(left.version, right.version)
    if order or not left.release or not right.release:
        return order
    return compare_parts(left.release, right.release)


@dataclass(frozen=True, slots=True)
class Capability:
    """A name that a package provides or requires: another package's, a path, `libz.so.1()(64bit)`.

    flag: EQ, LT, LE, GT or GE with `evr`; empty for any version.
    """

    name: str
    flag: str = ""
    evr: Evr | None = None

    def __str__(self) -> str:
        words = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
        return f"{self.name} {words[self.flag]} {self.evr}" if self.flag in words else self.name


def satisfies(provided: Capability, wanted: Capability) -> bool:
    """Whether the two name one thing and their ranges of versions meet."""
    if provided.name != wanted.name:
        return False
    if not wanted.flag or wanted.evr is None or not provided.flag or provided.evr is None:
        return True
    order = compare(provided.evr, wanted.evr)
    if order == 0:
        return _includes_end(provided.flag, wanted.flag)
    ours, theirs = ("G", "L") if order < 0 else ("L", "G")
    return provided.flag.startswith(ours) or wanted.flag.startswith(theirs)


def _includes_end(provided: str, wanted: str) -> bool:
    """Of two ranges with one end: `= 1` and `>= 1` meet, `> 1` and `<= 1` do not, `> 1` and `>= 1` do."""
    if "E" in provided and "E" in wanted:
        return True
    return provided[0] == wanted[0] and provided[0] in "LG"
