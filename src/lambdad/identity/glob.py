"""The wildcards of policies: `*` for any text, `?` for one character. Pure.

Patterns are other people's, so none becomes a regular expression that could backtrack: a pattern is cut at its stars,
and the pieces are looked for from the left, each behind the one before it, which is enough.
"""

from __future__ import annotations

import re
from functools import lru_cache


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits. Time is at most the product of both lengths, whatever the pattern."""
    if pattern == "*":
        return True
    first, *rest = pattern.split("*")
    if not rest:
        return len(first) == len(text) and _find(first, text, 0) == 0
    if _find(first, text[: len(first)], 0) != 0:
        return False
    at = len(first)
    *middle, last = rest
    for piece in middle:
        found = _find(piece, text, at)
        if found < 0:
            return False
        at = found + len(piece)
    end = len(text) - len(last)
    return end >= at and _find(last, text[end:], 0) == 0


def _find(piece: str, text: str, start: int) -> int:
    """Where a piece without stars first fits, or -1."""
    if "?" not in piece:
        return text.find(piece, start)
    found = _compile(piece).search(text, start)
    return -1 if found is None else found.start()


@lru_cache(maxsize=1024)
def _compile(piece: str) -> re.Pattern[str]:
    """Characters and dots alone: nothing that repeats."""
    return re.compile("".join("." if char == "?" else re.escape(char) for char in piece), re.DOTALL)
