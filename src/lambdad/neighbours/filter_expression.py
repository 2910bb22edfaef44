"""Conditions of CloudWatch Logs filter patterns: `$.level = "ERROR" && ($.size > 10 || $.user.id NOT EXISTS)`. Pure.

Parsed once, then asked about many events. Time is linear in the event for every pattern: wildcards are searched for in
order, never tried again, and nesting is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

DEPTH_MAX = 16

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<operator>\|\||&&|!=|<=|>=|=|<|>|\(|\))
      | (?P<word>(?:\[(?:\*|[0-9]{1,9}|'[^']*'|"[^"]*")\]|[^\s"()|&!<>=\[])+)
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\*|[0-9]{1,9}|'[^']*'|\"[^\"]*\")\]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?")
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Condition:
    """selector: as written. operator: a comparison, `NULL`, `TRUE`, `FALSE`, `EXISTS` or `NOT EXISTS`.

    value: what is compared with, of a comparison. quoted: it stood in quotes, so it is never a number.
    """

    selector: str
    operator: str
    value: str = ""
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Expression, ...]


Expression: TypeAlias = Condition | All | Either
Lookup: TypeAlias = Callable[[str], Sequence[Any]]
"""The values that a selector means in an event; none if it means nothing there."""


def parse_expression(text: str) -> Expression:
    """Raises ValueError with what is wrong."""
    parser = _Parser(text)
    expression = parser.either(0)
    parser.expect_end()
    return expression


def holds(expression: Expression, lookup: Lookup) -> bool:
    match expression:
        case Condition():
            return _holds(expression, lookup(expression.selector))
        case All(parts):
            return all(holds(part, lookup) for part in parts)
        case Either(parts):
            return any(holds(part, lookup) for part in parts)
        case _:
            assert_never(expression)


def select(document: Any, selector: str) -> list[Any]:
    """What `$.a.b[0]` or `$.a[*].b` means in a JSON document."""
    found = [document]
    at = 1
    while at < len(selector):
        step = _STEP.match(selector, at)
        if step is None:
            return []
        at = step.end()
        found = [inner for value in found for inner in _step(value, step["name"], step["index"])]
    return found


def check_selector(selector: str) -> None:
    """Raises ValueError for what is no selector of JSON."""
    at = 1
    while selector.startswith("$") and at < len(selector):
        step = _STEP.match(selector, at)
        if step is None:
            break
        at = step.end()
    if at != len(selector) or at == 1:
        raise ValueError(f"Invalid filter pattern: {selector[:100]} is not a selector such as $.level or $.items[0].")


def selectors(expression: Expression) -> list[str]:
    """Every selector in an expression."""
    match expression:
        case Condition(selector):
            return [selector]
        case All(parts) | Either(parts):
            return [selector for part in parts for selector in selectors(part)]
        case _:
            assert_never(expression)


def matches_wildcards(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, in which `*` stands for anything."""
    first, *middle = pattern.split("*")
    if not middle:
        return text == pattern
    *middle, last = middle
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        position, text = 0, text.strip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise ValueError(f"Invalid filter pattern: {text[position : position + 40]!r} cannot be read.")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def either(self, depth: int) -> Expression:
        parts = [self._all(depth)]
        while self._take("||"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise ValueError(f"Invalid filter pattern: {self._tokens[self._at][1][:100]} is not expected there.")

    def _all(self, depth: int) -> Expression:
        parts = [self._one(depth)]
        while self._take("&&"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, depth: int) -> Expression:
        if not self._take("("):
            return self._condition()
        if depth >= DEPTH_MAX:
            raise ValueError(f"Invalid filter pattern: parentheses are nested more than {DEPTH_MAX} deep.")
        inner = self.either(depth + 1)
        if not self._take(")"):
            raise ValueError("Invalid filter pattern: a parenthesis is not closed.")
        return inner

    def _condition(self) -> Condition:
        selector = self._next("word")
        word = self._peek()[1].upper()
        if word in ("IS", "NOT", "EXISTS"):
            self._at += 1
            operator = {"IS": "", "NOT": "NOT ", "EXISTS": "EXISTS"}[word]
            if word != "EXISTS":
                operator += self._next("word").upper()
            if operator not in ("NULL", "TRUE", "FALSE", "EXISTS", "NOT EXISTS"):
                raise ValueError("Invalid filter pattern: IS NULL, IS TRUE, IS FALSE and NOT EXISTS are known.")
            return Condition(selector, operator)
        operator = self._next("operator")
        if operator not in _COMPARISONS:
            raise ValueError(f"Invalid filter pattern: {selector[:100]} is followed by {operator}, not a comparison.")
        kind, value = self._peek()
        if kind == "string":
            self._at += 1
            return Condition(selector, operator, re.sub(r"\\(.)", r"\1", value[1:-1]), quoted=True)
        value = self._next("word")
        if value.startswith("%"):
            raise ValueError("Invalid filter pattern: lambdad does not match regular expressions.")
        if operator not in ("=", "!=") and _NUMBER.fullmatch(value) is None:
            raise ValueError(f"Invalid filter pattern: {operator} compares numbers, and {value[:100]} is none.")
        return Condition(selector, operator, value)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, operator: str) -> bool:
        if self._peek() != ("operator", operator):
            return False
        self._at += 1
        return True

    def _next(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            raise ValueError(f"Invalid filter pattern: a {kind} is missing before {text[:40] or 'the end'!r}.")
        self._at += 1
        return text


def _step(value: Any, name: str | None, index: str | None) -> list[Any]:
    if index == "*":
        return value if isinstance(value, list) else []
    if index is not None and index.isdecimal():
        return [value[int(index)]] if isinstance(value, list) and int(index) < len(value) else []
    key = name if name is not None else (index or "")[1:-1]
    return [value[key]] if isinstance(value, dict) and key in value else []


def _holds(condition: Condition, values: Sequence[Any]) -> bool:
    match condition.operator:
        case "NULL":
            return any(value is None for value in values)
        case "TRUE":
            return any(value is True for value in values)
        case "FALSE":
            return any(value is False for value in values)
        case "EXISTS":
            return bool(values)
        case "NOT EXISTS":
            return not values
    return any(_compares(condition, value) for value in values)


def _compares(condition: Condition, value: Any) -> bool:
    if condition.operator in ("=", "!="):
        return _equals(condition, value) == (condition.operator == "=")
    number, bound = _number(value), float(condition.value)
    if number is None:
        return False
    match condition.operator:
        case "<":
            return number < bound
        case "<=":
            return number <= bound
        case ">":
            return number > bound
    return number >= bound


def _equals(condition: Condition, value: Any) -> bool:
    if isinstance(value, str):
        if matches_wildcards(condition.value, value):
            return True
        number = None if condition.quoted else _number(value)
    else:
        number = _number(value)
    is_number = not condition.quoted and _NUMBER.fullmatch(condition.value) is not None
    return is_number and number == float(condition.value)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if len(value) < 64 and _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None
