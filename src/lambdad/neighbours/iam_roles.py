"""IAM's operations on roles: made, shown, changed, given policies. Each is a function of one transaction.

A role is a name that functions carry and a place for documents: what a function may do at other services is decided
there, not here. An account that has never made a role has every role that somebody asks for, so that tools which look
a role up find one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

from lambdad.identity.documents import LAMBDA
from lambdad.model.errors import ApiError
from lambdad.model.role import AWS_POLICIES, Role
from lambdad.neighbours.iam_input import (
    INLINE_MAX,
    already_exists,
    delete_conflict,
    document_of,
    limit_exceeded,
    name_of,
    no_such_entity,
    number_of,
    page_of,
    paged,
    path_of,
    policy_arn_of,
    shown_tags,
    size_of,
    tags_of,
    text_of,
    trust_of,
    without_tags,
)
from lambdad.neighbours.query_protocol import Value
from lambdad.store.metadata import Transaction

ROLES_MAX = 1000
ATTACHED_MAX = 10
ROLE_NAME_MAX = 64
POLICY_NAME_MAX = 128
SESSION_MIN_S, SESSION_DEFAULT_S, SESSION_MAX_S = 3600, 3600, 43_200

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": LAMBDA}, "Action": "sts:AssumeRole"}],
}

Form = Mapping[str, str]
Result = Mapping[str, Value | None] | None
Action = Callable[[Transaction, str, Form, float], Result]
"""(transaction, account, form, now in epoch seconds) → the members of the answer, None for an empty one."""


def new_id(prefix: str) -> str:
    """As IAM's unique identifiers are. prefix: `AROA` for roles, `ANPA` for policies."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return prefix + "".join(secrets.choice(alphabet) for _ in range(17))


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def create_role(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    name = name_of(form, "RoleName", ROLE_NAME_MAX)
    if transaction.roles.get(account, name) is not None:
        raise already_exists(f"Role with name {name} already exists.")
    if transaction.roles.count(account) >= ROLES_MAX:
        raise limit_exceeded(f"Cannot exceed quota for RolesPerAccount: {ROLES_MAX}")
    boundary = policy_arn_of(form, "PermissionsBoundary") if "PermissionsBoundary" in form else ""
    role = Role(
        account=account,
        name=name,
        path=path_of(form),
        id=new_id("AROA"),
        created=now,
        trust=trust_of(form, "AssumeRolePolicyDocument"),
        description=text_of(form, "Description", 1000),
        max_session_s=_session(form, SESSION_DEFAULT_S),
        boundary=boundary,
        tags=tags_of(form, {}),
    )
    transaction.roles.put(role)
    return {"Role": _shown(role)}


def get_role(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    return {"Role": _shown(_role_or_made_up(transaction, account, form))}


def list_roles(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    after, limit = page_of(form)
    prefix = form.get("PathPrefix", "/")
    roles = [role for role in transaction.roles.page(account, after, ROLES_MAX) if role.path.startswith(prefix)]
    # A list shows neither tags nor boundaries, as IAM's does not.
    shown = [_shown(replace(role, tags={}, boundary="")) for role in roles[: limit + 1]]
    return paged("Roles", shown, [role.name for role in roles], limit)


def update_role(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role = _role(transaction, account, form)
    description = text_of(form, "Description", 1000) if "Description" in form else role.description
    session = _session(form, role.max_session_s)
    transaction.roles.put(replace(role, description=description, max_session_s=session))
    return {}


def update_trust(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role = _role(transaction, account, form)
    transaction.roles.put(replace(role, trust=trust_of(form, "PolicyDocument")))
    return None


def delete_role(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role = _role(transaction, account, form)
    if role.attached:
        raise delete_conflict("Cannot delete entity, must detach all policies first.")
    if role.inline:
        raise delete_conflict("Cannot delete entity, must delete policies first.")
    transaction.roles.remove(role)
    return None


def put_boundary(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role = _role(transaction, account, form)
    transaction.roles.put(replace(role, boundary=policy_arn_of(form, "PermissionsBoundary")))
    return None


def delete_boundary(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    transaction.roles.put(replace(_role(transaction, account, form), boundary=""))
    return None


def tag_role(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role = _role(transaction, account, form)
    transaction.roles.put(replace(role, tags=tags_of(form, role.tags)))
    return None


def untag_role(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role = _role(transaction, account, form)
    transaction.roles.put(replace(role, tags=without_tags(form, role.tags)))
    return None


def list_role_tags(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    tags = shown_tags(_role_or_made_up(transaction, account, form).tags)
    return {"Tags": tags, "IsTruncated": False}


def list_instance_profiles(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    """None: machines are not what roles are for here. Terraform asks before it deletes a role."""
    _role_or_made_up(transaction, account, form)
    return {"InstanceProfiles": [], "IsTruncated": False}


def put_inline(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role, name = _role(transaction, account, form), name_of(form, "PolicyName", POLICY_NAME_MAX)
    inline = {**role.inline, name: document_of(form, INLINE_MAX)}
    if sum(size_of(document) for document in inline.values()) > INLINE_MAX:
        raise limit_exceeded(f"Maximum policy size of {INLINE_MAX} bytes exceeded for role {role.name}")
    transaction.roles.put(replace(role, inline=inline))
    return None


def get_inline(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role, name = _role(transaction, account, form), name_of(form, "PolicyName", POLICY_NAME_MAX)
    if name not in role.inline:
        raise _no_inline(name)
    return {"RoleName": role.name, "PolicyName": name, "PolicyDocument": quote(role.inline[name], safe="")}


def delete_inline(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role, name = _role(transaction, account, form), name_of(form, "PolicyName", POLICY_NAME_MAX)
    if name not in role.inline:
        raise _no_inline(name)
    inline = {key: document for key, document in role.inline.items() if key != name}
    transaction.roles.put(replace(role, inline=inline))
    return None


def list_inline(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    names = sorted(_role_or_made_up(transaction, account, form).inline)
    return {"PolicyNames": names, "IsTruncated": False}


def attach(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role, arn = _role(transaction, account, form), policy_arn_of(form)
    if not arn.startswith(AWS_POLICIES):  # of AWS's own policies only AWS has the list
        policy = transaction.roles.get_policy(account, arn.rpartition("/")[2])
        if policy is None or policy.arn != arn:
            raise no_such_entity(f"Policy {arn} does not exist or is not attachable.")
    if arn not in role.attached and len(role.attached) >= ATTACHED_MAX:
        raise limit_exceeded(f"Cannot exceed quota for PoliciesPerRole: {ATTACHED_MAX}")
    transaction.roles.put(replace(role, attached=tuple(dict.fromkeys((*role.attached, arn)))))
    return None


def detach(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role, arn = _role(transaction, account, form), policy_arn_of(form)
    if arn not in role.attached:
        raise no_such_entity(f"Policy {arn} was not found.")
    transaction.roles.put(replace(role, attached=tuple(other for other in role.attached if other != arn)))
    return None


def list_attached(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    role = _role_or_made_up(transaction, account, form)
    attached = [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in role.attached]
    return {"AttachedPolicies": attached, "IsTruncated": False}


READING: Mapping[str, Action] = {
    "GetRole": get_role,
    "ListRoles": list_roles,
    "ListRoleTags": list_role_tags,
    "ListInstanceProfilesForRole": list_instance_profiles,
    "GetRolePolicy": get_inline,
    "ListRolePolicies": list_inline,
    "ListAttachedRolePolicies": list_attached,
}
CHANGING: Mapping[str, Action] = {
    "CreateRole": create_role,
    "UpdateRole": update_role,
    "UpdateAssumeRolePolicy": update_trust,
    "DeleteRole": delete_role,
    "PutRolePermissionsBoundary": put_boundary,
    "DeleteRolePermissionsBoundary": delete_boundary,
    "TagRole": tag_role,
    "UntagRole": untag_role,
    "PutRolePolicy": put_inline,
    "DeleteRolePolicy": delete_inline,
    "AttachRolePolicy": attach,
    "DetachRolePolicy": detach,
}


def _role(transaction: Transaction, account: str, form: Form) -> Role:
    name = name_of(form, "RoleName", ROLE_NAME_MAX)
    role = transaction.roles.get(account, name)
    if role is None:
        raise no_such_entity(f"The role with name {name} cannot be found.")
    return role


def _role_or_made_up(transaction: Transaction, account: str, form: Form) -> Role:
    name = name_of(form, "RoleName", ROLE_NAME_MAX)
    role = transaction.roles.get(account, name)
    if role is None and not transaction.roles.keeps(account):
        return _made_up(account, name)
    return role or _role(transaction, account, form)


def _made_up(account: str, name: str) -> Role:
    """A role that Lambda may assume, made up from its name; always the same one."""
    identity = hashlib.sha256(f"{account} {name}".encode()).hexdigest()[:17].upper()
    return Role(
        account=account,
        name=name,
        path="/",
        id=f"AROA{identity}",
        created=datetime(2026, 1, 1, tzinfo=UTC).timestamp(),
        trust=json.dumps(_TRUST),
        description="Made up by lambdad: this account has made no roles.",
    )


def _session(form: Form, default: int) -> int:
    return number_of(form, "MaxSessionDuration", default, SESSION_MIN_S, SESSION_MAX_S)


def _no_inline(name: str) -> ApiError:
    return no_such_entity(f"The role policy with name {name} cannot be found.")


def _shown(role: Role) -> Mapping[str, Value | None]:
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": role.boundary}
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": moment(role.created),
        "AssumeRolePolicyDocument": quote(role.trust, safe=""),
        "Description": role.description or None,
        "MaxSessionDuration": role.max_session_s,
        "PermissionsBoundary": boundary if role.boundary else None,
        "Tags": shown_tags(role.tags) if role.tags else None,
    }
