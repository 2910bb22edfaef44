"""Resource policies: statements from what AddPermission gives, and their JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.control.interface import Params
from lambdad.model.errors import ApiError, conflict, invalid_parameter, not_found
from lambdad.model.limits import POLICY_MAX
from lambdad.model.settings import Policy, Statement

_ACCOUNT = re.compile(r"\d{12}")
_IAM_ARN = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)")

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
    added = Policy(statements=(*before, statement), revision_id=revision_id)
    size = len(policy_json(added))
    if size > POLICY_MAX:
        raise ApiError(
            "PolicyLengthExceededException",
            400,
            f"The final policy size ({size}) is bigger than the limit ({POLICY_MAX}).",
        )
    return added


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
    return _compact({"Version": "2012-10-17", "Id": "default", "Statement": statements})


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


def _statement_shape(statement: Statement) -> dict[str, Any]:
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
