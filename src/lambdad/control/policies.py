"""Resource policies: statements from what AddPermission gives, and their JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.control.interface import Params
from lambdad.identity.policy import PolicyError
from lambdad.identity.policy import parse_policy as parse_document
from lambdad.model.errors import ApiError, conflict, invalid_parameter, not_found
from lambdad.model.limits import POLICY_MAX
from lambdad.model.settings import Policy, Statement

_ACCOUNT = re.compile(r"\d{12}")
_IAM_ARN = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)")

_ACTION = re.compile(r"lambda:[*]|lambda:[a-zA-Z]+[*]?|[*]")
_STATEMENT_MEMBERS = frozenset({"Sid", "Effect", "Principal", "NotPrincipal", "Action", "Resource", "Condition"})

_CONDITIONS = (
    ("StringEquals", "AWS:SourceAccount", "SourceAccount"),
    ("StringEquals", "lambda:FunctionUrlAuthType", "FunctionUrlAuthType"),
    ("StringEquals", "aws:PrincipalOrgID", "PrincipalOrgID"),
    ("StringEquals", "aws:PrincipalOrgID", "OrganizationId"),
    ("StringEquals", "lambda:EventSourceToken", "EventSourceToken"),
    ("ArnLike", "AWS:SourceArn", "SourceArn"),
    ("Bool", "lambda:InvokedViaFunctionUrl", "InvokedViaFunctionUrl"),
)
"""(operator, condition key, parameter)."""


def make_statement(params: Params, resource: str) -> Statement:
    """The statement that AddPermission or AddLayerVersionPermission asks for. resource: the ARN it is about."""
    if "FunctionUrlAuthType" in params and params["Action"] != "lambda:InvokeFunctionUrl":
        raise invalid_parameter("FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
    kind, principal = _principal(params["Principal"])
    conditions: dict[str, dict[str, str]] = {}
    for operator, key, member in _CONDITIONS:
        if member in params:
            value = params[member]
            conditions.setdefault(operator, {})[key] = json.dumps(value) if isinstance(value, bool) else value
    return Statement(
        id=params["StatementId"],
        action=params["Action"],
        principal_type=kind,
        principal=principal,
        resource=resource,
        conditions=conditions,
    )


def add_statement(policy: Policy | None, statement: Statement, revision_id: str) -> Policy:
    """`policy` with one more statement."""
    before = () if policy is None else policy.statements
    if any(other.id == statement.id for other in before):
        raise conflict(
            f"The statement id ({statement.id}) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
    added = replace(policy or Policy(), statements=(*before, statement), revision_id=revision_id)
    check_size(added)
    return added


def check_size(policy: Policy) -> None:
    """AWS's bound on the whole document."""
    size = len(policy_json(policy))
    if size > POLICY_MAX:
        raise ApiError(
            "PolicyLengthExceededException",
            400,
            f"The final policy size ({size}) is bigger than the limit ({POLICY_MAX}).",
        )


def parse_policy(text: str, resource: str, revision_id: str) -> Policy:
    """A policy from the document that PutResourcePolicy gives. resource: the ARN that its statements must be about.

    Raises InvalidParameterValueException with the statement and the member that is wrong.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid_parameter("The policy is not valid JSON.") from None
    if not isinstance(document, dict):
        raise invalid_parameter("The policy must be a JSON object with a Version and a Statement.")
    version, identity = document.get("Version", "2012-10-17"), document.get("Id", "default")
    if version not in ("2012-10-17", "2008-10-17") or not isinstance(identity, str):
        raise invalid_parameter("The policy must have the Version 2012-10-17, and its Id must be a string.")
    given = document.get("Statement")
    listed = given if isinstance(given, list) else [given]
    statements = tuple(_parse_statement(number, one, resource) for number, one in enumerate(listed, 1))
    names = [statement.id for statement in statements if statement.id]
    if not statements or len(set(names)) != len(names):
        raise invalid_parameter("The policy must have statements, and no Sid may occur twice.")
    policy = Policy(statements=statements, revision_id=revision_id, id=identity)
    check_size(policy)
    try:
        parse_document(policy_json(policy), of_resource=True)  # what cannot be decided must not be stored
    except PolicyError as error:
        raise invalid_parameter(f"The policy is not valid: {error}.") from None
    return policy


def _parse_statement(number: int, given: Any, resource: str) -> Statement:
    if not isinstance(given, dict):
        raise invalid_parameter(f"Statement {number} of the policy is not a JSON object.")
    unknown = given.keys() - _STATEMENT_MEMBERS
    if unknown:
        raise invalid_parameter(f"Statement {number} of the policy has unknown members: {', '.join(sorted(unknown))}.")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise invalid_parameter(f"Statement {number} of the policy must have the Effect Allow or Deny.")
    whom = "NotPrincipal" if "NotPrincipal" in given else "Principal"
    for member in (whom, "Action", "Resource"):
        if not given.get(member):
            raise invalid_parameter(f"Statement {number} of the policy has no {member}.")
    resources, actions = _strings(given["Resource"]), _strings(given["Action"])
    if any(one not in (resource, f"{resource}:*") for one in resources):
        raise invalid_parameter(f"Statement {number} of the policy is about another resource than {resource}.")
    if any(_ACTION.fullmatch(one) is None for one in actions):
        raise invalid_parameter(f"Statement {number} of the policy has an Action that is not one of Lambda's.")
    if not isinstance(given.get("Sid", ""), str) or not isinstance(given.get("Condition", {}), dict):
        raise invalid_parameter(f"Statement {number} of the policy: Sid is a string, Condition an object.")
    return Statement(id=given.get("Sid", ""), action="", principal_type="", principal="", resource="", document=given)


def _strings(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [one if isinstance(one, str) else "" for one in listed]


def remove_statement(policy: Policy | None, statement_id: str, revision_id: str) -> Policy | None:
    """`policy` without the statement; None when it was the last."""
    if policy is None:
        raise no_policy()
    left = tuple(statement for statement in policy.statements if statement.id != statement_id)
    if len(left) == len(policy.statements):
        raise not_found(f"Statement {statement_id} is not found in resource policy.")
    return replace(policy, statements=left, revision_id=revision_id) if left else None


def no_policy() -> ApiError:
    return not_found("No policy is associated with the given resource.")


def statement_json(statement: Statement) -> str:
    return _compact(_statement_shape(statement))


def policy_json(policy: Policy) -> str:
    statements = [_statement_shape(statement) for statement in policy.statements]
    return _compact({"Version": "2012-10-17", "Id": policy.id, "Statement": statements})


def _principal(given: str) -> tuple[str, str]:
    """(`AWS`, `Service` or nothing, the principal as policies show it)."""
    if given == "*":
        return "", given
    if _ACCOUNT.fullmatch(given):
        return "AWS", f"arn:aws:iam::{given}:root"
    if _IAM_ARN.fullmatch(given):
        return "AWS", given
    if _SERVICE.fullmatch(given):
        return "Service", given
    raise invalid_parameter("The provided principal was invalid. Please check the principal and try again.")


def _statement_shape(statement: Statement) -> Mapping[str, Any]:
    if statement.document is not None:
        return statement.document
    principal = {statement.principal_type: statement.principal} if statement.principal_type else statement.principal
    shape: dict[str, Any] = {
        "Sid": statement.id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": statement.action,
        "Resource": statement.resource,
    }
    if statement.conditions:
        shape["Condition"] = {operator: dict(keys) for operator, keys in statement.conditions.items()}
    return shape


def _compact(shape: Mapping[str, Any]) -> str:
    return json.dumps(shape, separators=(",", ":"), ensure_ascii=False)
