"""The conditions of policy statements: operators over the context of a request. Pure.

Source: "IAM JSON policy elements: Condition operators", IAM User Guide. Keys are compared in lower case. One that the
context does not have fails its condition, but for `...IfExists`, negated operators and `Null`. So a key that lambdad
never knows would open what it should close: `complain` refuses it, as it does values that could never match.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

from lambdad.identity.glob import matches

Context = Mapping[str, str | Sequence[str]]
"""Condition keys in lower case, each with its value or values."""

KNOWN_KEYS = frozenset(
    {
        "aws:currenttime",
        "aws:epochtime",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principaltype",
        "aws:requestedregion",
        "aws:securetransport",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "aws:sourceorgid",
        "aws:tagkeys",
        "aws:useragent",
        "aws:userid",
        "aws:username",
        "iam:passedtoservice",
        "lambda:codesigningconfigarn",
        "lambda:eventsourcetoken",
        "lambda:functionarn",
        "lambda:functionurlauthtype",
        "lambda:invokedviafunctionurl",
        "lambda:layer",
        "lambda:principal",
        "lambda:securitygroupids",
        "lambda:sourcefunctionarn",
        "lambda:subnetids",
    }
)
"""In lower case. Those of services and organisations are known, and no caller here has them."""

_OF_TAGS = ("aws:requesttag/", "aws:resourcetag/")
"""Keys that end with that of a tag."""
_ANY, _ALL = "ForAnyValue:", "ForAllValues:"
_IF_EXISTS = "IfExists"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")

Test = Callable[[str, str], bool]
"""(value of the request, value of the policy) → whether they fit. Raises ValueError for values of another type."""


def _ip(value: str, given: str) -> bool:
    return ip_address(value) in ip_network(given, strict=False)


def _date(text: str) -> float:
    if text.replace(".", "", 1).isdigit():
        return float(text)
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _compare(read: Callable[[str], float], test: Callable[[float, float], bool]) -> Test:
    return lambda value, given: test(read(value), read(given))


def _arn(value: str, given: str) -> bool:
    """Section by section: a `*` does not reach over a colon, but in the last."""
    mine, theirs = value.split(":", 5), given.split(":", 5)
    return len(mine) == len(theirs) and all(map(matches, theirs, mine))


_POSITIVE: dict[str, Test] = {
    "StringEquals": operator.eq,
    "StringEqualsIgnoreCase": lambda value, given: value.lower() == given.lower(),
    "StringLike": lambda value, given: matches(given, value),
    "ArnEquals": _arn,
    "ArnLike": _arn,
    "Bool": lambda value, given: value.lower() == given.lower(),
    "IpAddress": _ip,
    "NumericEquals": _compare(float, operator.eq),
    "NumericLessThan": _compare(float, operator.lt),
    "NumericLessThanEquals": _compare(float, operator.le),
    "NumericGreaterThan": _compare(float, operator.gt),
    "NumericGreaterThanEquals": _compare(float, operator.ge),
    "DateEquals": _compare(_date, operator.eq),
    "DateLessThan": _compare(_date, operator.lt),
    "DateLessThanEquals": _compare(_date, operator.le),
    "DateGreaterThan": _compare(_date, operator.gt),
    "DateGreaterThanEquals": _compare(_date, operator.ge),
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def is_operator(name: str) -> bool:
    """Whether a policy may use it."""
    base = _base(name)
    return base in _POSITIVE or base in _NEGATED or name == "Null"


def complain(name: str, key: str, given: Sequence[str]) -> str | None:
    """Why a policy may not have this condition; None if it may. name: of an operator. given: its values."""
    known = key.lower()
    if known not in KNOWN_KEYS and not known.startswith(_OF_TAGS):
        return f"the condition key {key} is not one that lambdad knows"
    if not given:
        return f"{name} {key} has no values"
    base = _NEGATED.get(_base(name), _base(name))
    for text in given:
        variable = unknown_variable(text)
        if variable is not None:
            return f"the policy variable {variable[:64]} is not one that lambdad knows"
        if (base == "Bool" or name == "Null") and text.lower() not in ("true", "false"):
            return f"{name} {key} is true or false"
        if base.startswith(("Numeric", "Date", "Ip")) and "${" not in text and not _reads(base, text):
            return f"{text[:64]!r} is no value for {name}"
    return None


def _reads(base: str, text: str) -> bool:
    """Whether an operator understands a value."""
    try:
        if base == "IpAddress":
            ip_network(text, strict=False)
        else:
            _POSITIVE[base](text, text)
    except (ValueError, OverflowError):
        return False
    return True


def holds(name: str, key: str, given: Sequence[str], context: Context) -> bool:
    """Whether one operator holds for one key. given: the policy's values."""
    found = context.get(key.lower())
    values = None if found is None else [found] if isinstance(found, str) else list(found)
    if name == "Null":
        return any((text.lower() == "true") == (values is None) for text in given)
    filled = [fill(text, context) for text in given]
    base = _base(name)
    is_negated = base in _NEGATED
    test = _POSITIVE[_NEGATED.get(base, base)]
    if not values:
        return name.startswith(_ALL) or name.endswith(_IF_EXISTS) or (is_negated and not name.startswith(_ANY))
    fits = [_fits_any(test, value, filled) != is_negated for value in values]
    return any(fits) if name.startswith(_ANY) else all(fits)


def _fits_any(test: Test, value: str, given: Sequence[str]) -> bool:
    return any(_try(test, value, text) for text in given)


def _try(test: Test, value: str, given: str) -> bool:
    try:
        return test(value, given)
    except (ValueError, OverflowError):
        return False


def _base(name: str) -> str:
    return name.removeprefix(_ANY).removeprefix(_ALL).removesuffix(_IF_EXISTS)


def unknown_variable(text: str) -> str | None:
    """A policy variable that never has a value here: a Deny with it would be a hole."""
    return next((name for name in _VARIABLE.findall(text) if name.lower() not in KNOWN_KEYS), None)


def fill(text: str, context: Context) -> str:
    """Policy variables such as `${aws:username}`. What is not known stays, and matches nothing."""

    def replace(match: re.Match[str]) -> str:
        value = context.get(match[1].lower())
        return value if isinstance(value, str) else match[0]

    return _VARIABLE.sub(replace, text) if "${" in text else text
