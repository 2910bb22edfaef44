"""Documents of roles: whether they are policies at all, and whom a trust policy lets in. Pure.

A role's documents speak of every service there is, with condition keys that nobody here knows: they are checked for
their form and kept as they are. `identity.policy` reads the ones that lambdad decides by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lambdad.identity.glob import matches
from lambdad.identity.policy import PolicyError, raw_statements

LAMBDA = "lambda.amazonaws.com"
ASSUME_ROLE = "sts:assumerole"


def check_permissions(text: str) -> None:
    """A document that says what a role may do. Raises PolicyError."""
    for where, statement in _statements(text):
        _check_one_of(where, statement, "Resource", "NotResource")
        if "Principal" in statement or "NotPrincipal" in statement:
            raise PolicyError(f"{where}: the policy of a role has no Principal: it is about the role")


def check_trust(text: str) -> None:
    """A document that says who may be a role. Raises PolicyError."""
    for where, statement in _statements(text):
        _check_one_of(where, statement, "Principal", "NotPrincipal")
        if "Resource" in statement or "NotResource" in statement:
            raise PolicyError(f"{where}: a trust policy has no Resource: it is about the role")
        principal = statement.get("Principal")
        if not (principal == "*" or (isinstance(principal, Mapping) and principal) or "NotPrincipal" in statement):
            raise PolicyError(f"{where}: Principal is * or an object such as {{'Service': '{LAMBDA}'}}")


def is_trusted(text: str, service: str) -> bool:
    """Whether a trust policy lets a service be the role. Conditions are taken to hold."""
    decision = False
    for _, statement in _statements(text):
        actions = [action.lower() for action in _texts(statement.get("Action"))]
        principal = statement.get("Principal")
        services = _texts(principal.get("Service")) if isinstance(principal, Mapping) else _texts(principal)
        if not any(matches(action, ASSUME_ROLE) for action in actions):
            continue
        if service in services or "*" in services:
            if statement["Effect"] == "Deny":
                return False
            decision = True
    return decision


def _statements(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each with the words for where it stands. Raises PolicyError at the first that is none."""
    for number, statement in enumerate(raw_statements(text), 1):
        where = f"statement {number}"
        if not isinstance(statement, Mapping):
            raise PolicyError(f"{where} is not a JSON object")
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise PolicyError(f"{where}: Effect is Allow or Deny")
        _check_one_of(where, statement, "Action", "NotAction")
        for member in ("Action", "NotAction", "Resource", "NotResource"):
            if member in statement and not _texts(statement[member]):
                raise PolicyError(f"{where}: {member} is a text or a list of texts")
        if not isinstance(statement.get("Condition", {}), Mapping):
            raise PolicyError(f"{where}: Condition is an object")
        yield where, statement


def _check_one_of(where: str, statement: Mapping[str, Any], name: str, excluding: str) -> None:
    if (name in statement) == (excluding in statement):
        raise PolicyError(f"{where} needs either {name} or {excluding}")


def _texts(given: Any) -> list[str]:
    """A text or a list of them; nothing if it is neither."""
    listed = given if isinstance(given, list) else [given]
    return listed if all(isinstance(item, str) and item for item in listed) else []
