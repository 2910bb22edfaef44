"""CloudWatch Logs filter patterns: terms, "phrases", ?either, -without; `{ $.level = "ERROR" }`; `[ip, status = 4*]`.

Pure. Regular expressions (`%...%`) are refused: they are the caller's, and could take any time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import orjson

from lambdad.neighbours.filter_expression import Expression, check_selector, holds, parse_expression, select, selectors

PATTERN_MAX = 1024

_TERM = re.compile(r'(?P<sign>[-?]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>[^\s"]+))(?:\s+|$)')
_FIELD = re.compile(r'"(?P<quoted>[^"]*)"|\[(?P<bracketed>[^\]]*)\]|(?P<bare>\S+)')
_NAME = re.compile(r"[A-Za-z0-9_@-]+")
_NAMES_MAX = 64
_REST = "..."


class Pattern(Protocol):
    """What an event must be like."""

    def matches(self, text: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class TermPattern:
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


@dataclass(frozen=True, slots=True)
class JsonPattern:
    """Events that are JSON objects of which the expression holds."""

    expression: Expression

    def matches(self, text: str) -> bool:
        if not text.lstrip().startswith("{"):
            return False
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        return holds(self.expression, lambda selector: select(document, selector))


@dataclass(frozen=True, slots=True)
class FieldPattern:
    """Events of so many fields, separated by spaces; what stands in quotes or brackets is one field.

    names: of the fields in order; `...` for any number of them, once. expressions: what must hold of them.
    """

    names: tuple[str, ...]
    expressions: tuple[Expression, ...]

    def matches(self, text: str) -> bool:
        found = [match[match.lastgroup or 0] for match in _FIELD.finditer(text)]
        names = list(self.names)
        if _REST in names:
            at = names.index(_REST)
            skipped = len(found) - (len(names) - 1)
            if skipped < 0:
                return False
            del found[at : at + skipped]
            del names[at]
        if len(found) != len(names):
            return False
        fields = dict(zip(names, found, strict=True))
        return all(holds(expression, lambda name: [fields[name]]) for expression in self.expressions)


def parse_pattern(text: str) -> Pattern:
    """Raises ValueError with what is wrong."""
    text = text.strip()
    if len(text) > PATTERN_MAX:
        raise ValueError(f"A filter pattern has at most {PATTERN_MAX} characters.")
    match text[:1]:
        case "{":
            return _parse_json(text)
        case "[":
            return _parse_fields(text)
        case "%":
            raise ValueError("Invalid filter pattern: lambdad does not match regular expressions.")
    return _parse_terms(text)


def _parse_json(text: str) -> JsonPattern:
    if not text.endswith("}") or len(text) < 2:
        raise ValueError("Invalid filter pattern: a brace is not closed.")
    expression = parse_expression(text[1:-1])
    for selector in selectors(expression):
        check_selector(selector)
    return JsonPattern(expression)


def _parse_fields(text: str) -> FieldPattern:
    if not text.endswith("]") or len(text) < 2:
        raise ValueError("Invalid filter pattern: a bracket is not closed.")
    names, expressions = [], []
    for field in _split(text[1:-1]):
        if field == _REST or _NAME.fullmatch(field):
            names.append(field)
            continue
        expression = parse_expression(field)
        (name, *others) = set(selectors(expression))
        if others or _NAME.fullmatch(name) is None:
            raise ValueError(f"Invalid filter pattern: conditions between two commas are about one field: {field}")
        names.append(name)
        expressions.append(expression)
    if names.count(_REST) > 1 or len(set(names)) != len(names) or len(names) > _NAMES_MAX:
        raise ValueError("Invalid filter pattern: fields have different names, and `...` comes once at most.")
    return FieldPattern(tuple(names), tuple(expressions))


def _split(text: str) -> list[str]:
    """At commas that are not in quotes."""
    parts = re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*"|")+', text)
    return [part.strip() for part in parts if part.strip()]


def _parse_terms(text: str) -> TermPattern:
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise ValueError("Invalid filter pattern: a quote is not closed, or stands inside a term.")
        phrase = match["phrase"]
        terms[match["sign"]].append(match["word"] if phrase is None else re.sub(r"\\(.)", r"\1", phrase))
        at = match.end()
    return TermPattern(tuple(terms[""]), tuple(terms["?"]), tuple(terms["-"]))
