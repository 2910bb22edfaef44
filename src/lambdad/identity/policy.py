"""IAM policies: documents as values, and what they say of one request. Pure.

Source: "IAM JSON policy elements reference" and "Policy evaluation logic", IAM User Guide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lambdad.identity.conditions import Context, complain, fill, holds, is_operator, unknown_variable
from lambdad.identity.glob import matches

POLICY_MAX = 20_480
"""Characters of a document; AWS's largest bound is that of a resource policy of Lambda."""
STATEMENTS_MAX = 200
_VERSIONS = ("2012-10-17", "2008-10-17")
_MEMBERS = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"}
)


class PolicyError(ValueError):
    """The document is no policy; the text says what of it is wrong."""


class Decision(Enum):
    """What policies say of a request. ACCOUNT: a resource policy trusts a whole account, whose own policies decide."""

    DENY = "deny"
    ALLOW = "allow"
    ACCOUNT = "account"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One request. principal: the caller's ARN, `account` its account; both None for somebody who did not sign."""

    action: str
    resource: str
    principal: str | None = None
    account: str | None = None
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """actions, resources: patterns; `excludes_...`: everything but them. principals: None in identity policies.

    excludes_principals: a denial for everybody but them.
    """

    allows: bool
    actions: tuple[str, ...]
    excludes_actions: bool
    resources: tuple[str, ...]
    excludes_resources: bool
    principals: tuple[str, ...] | None
    excludes_principals: bool = False
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    def decide(self, access: Access) -> Decision:
        """What it says, NOTHING if it is about something else."""
        action, resource = access.action.lower(), access.resource
        if any(matches(pattern, action) for pattern in self.actions) == self.excludes_actions:
            return Decision.NOTHING
        if any(matches(fill(pattern, access.context), resource) for pattern in self.resources) == (
            self.excludes_resources
        ):
            return Decision.NOTHING
        decision = self._of_principal(access)
        if decision is Decision.NOTHING or not all(holds(*condition, access.context) for condition in self.conditions):
            return Decision.NOTHING
        return decision if self.allows else Decision.DENY

    def _of_principal(self, access: Access) -> Decision:
        if self.excludes_principals:
            return Decision.NOTHING if self._excepts(access) else Decision.ALLOW
        if self.principals is None or "*" in self.principals or access.principal in self.principals:
            return Decision.ALLOW
        account = access.account
        is_account = account in self.principals or f"arn:aws:iam::{account}:root" in self.principals
        return Decision.ACCOUNT if account is not None and is_account else Decision.NOTHING

    def _excepts(self, access: Access) -> bool:
        """Whether NotPrincipal names the caller: its own ARN and its account, as AWS wants both."""
        named = self.principals or ()
        accounts = (access.account, f"arn:aws:iam::{access.account}:root")
        return "*" in named or (access.principal in named and any(account in named for account in accounts))


@dataclass(frozen=True, slots=True)
class Policy:
    """The statements of a document."""

    statements: tuple[Statement, ...]


def decide(policies: Sequence[Policy], access: Access) -> Decision:
    """DENY if any statement denies, else the most that one grants."""
    best = Decision.NOTHING
    for policy in policies:
        for statement in policy.statements:
            match statement.decide(access):
                case Decision.DENY:
                    return Decision.DENY
                case Decision.ALLOW:
                    best = Decision.ALLOW
                case Decision.ACCOUNT if best is Decision.NOTHING:
                    best = Decision.ACCOUNT
    return best


def parse_policy(text: str, *, of_resource: bool = False) -> Policy:
    """A JSON document. of_resource: whether its statements have principals. Raises PolicyError."""
    if len(text) > POLICY_MAX:
        raise PolicyError(f"a policy has at most {POLICY_MAX} characters")
    statements = raw_statements(text)
    return Policy(tuple(_statement(number, item, of_resource) for number, item in enumerate(statements, 1)))


def raw_statements(text: str) -> list[Any]:
    """What a document has for statements, whatever they are; 1 to STATEMENTS_MAX of them. Raises PolicyError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PolicyError("the policy is not valid JSON") from None
    if not isinstance(document, dict):
        raise PolicyError("a policy is a JSON object with Version and Statement")
    if document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise PolicyError(f"the Version of a policy is {_VERSIONS[0]}")
    listed = document.get("Statement")
    statements = listed if isinstance(listed, list) else [listed]
    if not statements or len(statements) > STATEMENTS_MAX:
        raise PolicyError(f"a policy has 1 to {STATEMENTS_MAX} statements")
    return statements


def _statement(number: int, given: Any, of_resource: bool) -> Statement:
    where = f"statement {number}"
    if not isinstance(given, Mapping):
        raise PolicyError(f"{where} is not a JSON object")
    unknown = sorted(map(str, given.keys() - _MEMBERS))
    if unknown:
        raise PolicyError(f"{where} has the unknown member {unknown[0]}")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"{where}: Effect is Allow or Deny")
    excludes_principals = "NotPrincipal" in given
    if not of_resource and ("Principal" in given or excludes_principals):
        raise PolicyError(f"{where}: a policy of a key has no Principal: it is about the key")
    if excludes_principals and (given["Effect"] == "Allow" or "Principal" in given):
        raise PolicyError(f"{where}: NotPrincipal is for a Deny without a Principal; an Allow names who is let in")
    actions, excludes_actions = _one_of(where, given, "Action", "NotAction")
    resources, excludes_resources = _one_of(where, given, "Resource", "NotResource")
    variable = next((found for text in resources if (found := unknown_variable(text)) is not None), None)
    if variable is not None:
        raise PolicyError(f"{where}: the policy variable {variable[:64]} is not one that lambdad knows")
    return Statement(
        allows=given["Effect"] == "Allow",
        actions=tuple(action.lower() for action in actions),
        excludes_actions=excludes_actions,
        resources=resources,
        excludes_resources=excludes_resources,
        principals=_principals(where, given.get("NotPrincipal", given.get("Principal"))) if of_resource else None,
        excludes_principals=excludes_principals,
        conditions=_conditions(where, given.get("Condition")),
    )


def _one_of(where: str, given: Mapping[str, Any], name: str, excluding: str) -> tuple[tuple[str, ...], bool]:
    if (name in given) == (excluding in given):
        raise PolicyError(f"{where} needs either {name} or {excluding}")
    chosen = name if name in given else excluding
    return _texts(f"{where}: {chosen}", given[chosen]), chosen == excluding


def _principals(where: str, given: Any) -> tuple[str, ...]:
    """ARNs and accounts; `*` is everybody. Services call nobody here, so theirs are left out."""
    if given == "*":
        return ("*",)
    if not isinstance(given, Mapping) or not given:
        raise PolicyError(f"{where}: Principal is * or an object such as {{'AWS': '123456789012'}}")
    found = {name: _texts(f"{where}: Principal", value) for name, value in given.items()}
    return found.get("AWS", ())


def _conditions(where: str, given: Any) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise PolicyError(f"{where}: Condition is an object")
    found = []
    for name, keys in given.items():
        if not is_operator(name):
            raise PolicyError(f"{where}: the condition operator {name} is not known")
        if not isinstance(keys, Mapping):
            raise PolicyError(f"{where}: {name} is an object of condition keys")
        for key, value in keys.items():
            values = _values(f"{where}: {name} {key}", value)
            complaint = complain(name, key, values)
            if complaint is not None:
                raise PolicyError(f"{where}: {complaint}")
            found.append((name, key, values))
    return tuple(found)


def _values(where: str, given: Any) -> tuple[str, ...]:
    """Of a condition: numbers and truth values are written as text, too."""
    listed = given if isinstance(given, list) else [given]
    if not all(isinstance(item, str | int | float) for item in listed):
        raise PolicyError(f"{where} is a text, a number, a truth value, or a list of them")
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in listed)


def _texts(where: str, given: Any) -> tuple[str, ...]:
    listed = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(item, str) and item for item in listed):
        raise PolicyError(f"{where} is a text or a list of texts")
    return tuple(listed)
