"""The wildcards of policies: `*` for any text, `?` for one character. Pure."""

from __future__ import annotations


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits. Time is at most the product of both lengths, whatever the pattern."""
    at = star = 0
    position, resume = 0, -1
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[position]):
            at += 1
            position += 1
        elif resume >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return all(rest == "*" for rest in pattern[at:])
