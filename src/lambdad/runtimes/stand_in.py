"""Which runtime of a host stands in for one that it lacks: the next newer of its language, else the newest. Pure.

A newer interpreter runs nearly all code of an older one; what does not fit (syntax, wheels with another ABI) fails with
the interpreter's own words. A node that wants AWS's exact versions says so (`runtimes = "exact"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EXACT, NEAREST = "exact", "nearest"

_IDENTIFIER = re.compile(r"(?P<language>[a-z]+?)(?P<version>\d+(?:\.\d+)?)(?:\.x|\.al\d+)?")
"""`python3.12`, `nodejs22.x`, `java8.al2`; `provided.al2023` has no version and is none."""


def find_stand_in(wanted: str, present: Iterable[str]) -> str | None:
    """The identifier among `present` that comes nearest to `wanted`; None if there is none of its language."""
    parsed = _parse(wanted)
    if parsed is None:
        return None
    language, version = parsed
    others = {found[1]: name for name in present if (found := _parse(name)) is not None and found[0] == language}
    newer = [other for other in others if other >= version]
    if newer:
        return others[min(newer)]
    return others[max(others)] if others else None


def _parse(identifier: str) -> tuple[str, tuple[int, ...]] | None:
    match = _IDENTIFIER.fullmatch(identifier)
    if match is None:
        return None
    return match["language"], tuple(int(part) for part in match["version"].split("."))
