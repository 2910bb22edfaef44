"""CloudWatch Logs filter patterns for unstructured text: terms, "phrases", ?either, -without. Pure.

Patterns for JSON (`{ $.level = ... }`), for fields (`[a, b]`) and regular expressions (`%...%`) are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PATTERN_MAX = 1024

_TERM = re.compile(r'(?P<sign>[-?]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>[^\s"]+))(?:\s+|$)')


@dataclass(frozen=True, slots=True)
class FilterPattern:
    """all: every one must occur. either: one of them must, if there are any. without: none may."""

    all: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def matches(self, text: str) -> bool:
        return (
            all(term in text for term in self.all)
            and (not self.either or any(term in text for term in self.either))
            and not any(term in text for term in self.without)
        )


def parse_pattern(text: str) -> FilterPattern:
    """Raises ValueError with what is wrong."""
    text = text.strip()
    if len(text) > PATTERN_MAX:
        raise ValueError(f"A filter pattern has at most {PATTERN_MAX} characters.")
    if text[:1] in ("{", "[", "%"):
        raise ValueError("Invalid filter pattern: lambdad matches terms and phrases, not JSON, fields or expressions.")
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise ValueError("Invalid filter pattern: a quote is not closed, or stands inside a term.")
        phrase = match["phrase"]
        terms[match["sign"]].append(match["word"] if phrase is None else re.sub(r"\\(.)", r"\1", phrase))
        at = match.end()
    return FilterPattern(tuple(terms[""]), tuple(terms["?"]), tuple(terms["-"]))
