"""IAM's operations on managed policies of an account's own. Each is a function of one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from lambdad.identity.managed import MANAGED
from lambdad.model.role import AWS_POLICIES, ManagedPolicy, PolicyVersion
from lambdad.neighbours.iam_input import (
    MANAGED_MAX,
    already_exists,
    delete_conflict,
    document_of,
    limit_exceeded,
    name_of,
    no_such_entity,
    page_of,
    paged,
    path_of,
    policy_arn_of,
    shown_tags,
    tags_of,
    text_of,
    without_tags,
)
from lambdad.neighbours.iam_roles import POLICY_NAME_MAX, Action, Form, Result, moment, new_id
from lambdad.neighbours.query_protocol import Value
from lambdad.store.metadata import Transaction

POLICIES_MAX = 1500
VERSIONS_MAX = 5


def create_policy(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    name = name_of(form, "PolicyName", POLICY_NAME_MAX)
    if transaction.roles.get_policy(account, name) is not None:
        raise already_exists(f"A policy called {name} already exists. Duplicate names are not allowed.")
    if transaction.roles.count_policies(account) >= POLICIES_MAX:
        raise limit_exceeded(f"Cannot exceed quota for PoliciesPerAccount: {POLICIES_MAX}")
    policy = ManagedPolicy(
        account=account,
        name=name,
        path=path_of(form),
        id=new_id("ANPA"),
        created=now,
        updated=now,
        versions=(PolicyVersion(number=1, document=document_of(form, MANAGED_MAX), created=now),),
        description=text_of(form, "Description", 1000),
        tags=tags_of(form, {}),
    )
    transaction.roles.put_policy(policy)
    return {"Policy": _shown(policy, 0)}


def get_policy(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    arn = policy_arn_of(form)
    if arn.startswith(AWS_POLICIES):
        return {"Policy": _shown_of_aws(arn)}
    policy = _policy(transaction, account, form)
    return {"Policy": _shown(policy, len(transaction.roles.with_policy(account, policy.arn)))}


def list_policies(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    """Of the account's own: AWS's are known by the few names of `identity.managed`."""
    after, limit = page_of(form)
    prefix, counts = form.get("PathPrefix", "/"), transaction.roles.attachments(account)
    policies = [
        policy
        for policy in transaction.roles.policies(account, after, POLICIES_MAX)
        if policy.path.startswith(prefix) and form.get("Scope") != "AWS"
    ]
    if form.get("OnlyAttached") == "true":
        policies = [policy for policy in policies if counts[policy.arn]]
    shown = [_shown(replace(policy, tags={}), counts[policy.arn]) for policy in policies[: limit + 1]]
    return paged("Policies", shown, [policy.name for policy in policies], limit)


def delete_policy(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    policy = _policy(transaction, account, form)
    if transaction.roles.with_policy(account, policy.arn):
        raise delete_conflict("Cannot delete a policy attached to entities.")
    if len(policy.versions) > 1:
        raise delete_conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
            "The default version is deleted with the policy."
        )
    transaction.roles.remove_policy(policy)
    return None


def create_version(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    policy = _policy(transaction, account, form)
    if len(policy.versions) >= VERSIONS_MAX:
        raise limit_exceeded(
            f"A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must "
            "delete an existing version."
        )
    version = PolicyVersion(number=policy.newest + 1, document=document_of(form, MANAGED_MAX), created=now)
    is_default = form.get("SetAsDefault") == "true"
    changed = replace(
        policy,
        versions=(*policy.versions, version),
        newest=version.number,
        default=version.number if is_default else policy.default,
        updated=now,
    )
    transaction.roles.put_policy(changed)
    return {"PolicyVersion": _shown_version(changed, version, with_document=False)}


def get_version(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    arn, wanted = policy_arn_of(form), form.get("VersionId", "")
    if arn.startswith(AWS_POLICIES):
        name = arn.rpartition("/")[2]
        if wanted != "v1" or name not in MANAGED:
            raise no_such_entity(f"Policy {arn} version {wanted[:16]} is one of AWS's that lambdad does not know.")
        document = PolicyVersion(number=1, document=MANAGED[name], created=0.0)
        return {"PolicyVersion": _shown_version(None, document, with_document=True)}
    policy = _policy(transaction, account, form)
    return {"PolicyVersion": _shown_version(policy, _version(policy, wanted), with_document=True)}


def list_versions(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    policy = _policy(transaction, account, form)
    versions = [_shown_version(policy, version, with_document=False) for version in reversed(policy.versions)]
    return {"Versions": versions, "IsTruncated": False}


def set_default(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    policy = _policy(transaction, account, form)
    version = _version(policy, form.get("VersionId", ""))
    transaction.roles.put_policy(replace(policy, default=version.number, updated=now))
    return None


def delete_version(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    policy = _policy(transaction, account, form)
    version = _version(policy, form.get("VersionId", ""))
    if version.number == policy.default:
        raise delete_conflict("Cannot delete the default version of a policy.")
    kept = tuple(other for other in policy.versions if other.number != version.number)
    transaction.roles.put_policy(replace(policy, versions=kept, updated=now))
    return None


def tag_policy(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    policy = _policy(transaction, account, form)
    transaction.roles.put_policy(replace(policy, tags=tags_of(form, policy.tags)))
    return None


def untag_policy(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    policy = _policy(transaction, account, form)
    transaction.roles.put_policy(replace(policy, tags=without_tags(form, policy.tags)))
    return None


def list_policy_tags(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    return {"Tags": shown_tags(_policy(transaction, account, form).tags), "IsTruncated": False}


def list_entities(transaction: Transaction, account: str, form: Form, now: float) -> Result:
    roles = transaction.roles.with_policy(account, policy_arn_of(form))
    shown = [{"RoleName": role.name, "RoleId": role.id} for role in roles]
    return {"PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": shown, "IsTruncated": False}


READING: Mapping[str, Action] = {
    "GetPolicy": get_policy,
    "ListPolicies": list_policies,
    "GetPolicyVersion": get_version,
    "ListPolicyVersions": list_versions,
    "ListPolicyTags": list_policy_tags,
    "ListEntitiesForPolicy": list_entities,
}
CHANGING: Mapping[str, Action] = {
    "CreatePolicy": create_policy,
    "DeletePolicy": delete_policy,
    "CreatePolicyVersion": create_version,
    "SetDefaultPolicyVersion": set_default,
    "DeletePolicyVersion": delete_version,
    "TagPolicy": tag_policy,
    "UntagPolicy": untag_policy,
}


def _policy(transaction: Transaction, account: str, form: Form) -> ManagedPolicy:
    arn = policy_arn_of(form)
    policy = transaction.roles.get_policy(account, arn.rpartition("/")[2])
    if policy is None or policy.arn != arn:
        raise no_such_entity(f"Policy {arn} was not found.")
    return policy


def _version(policy: ManagedPolicy, wanted: str) -> PolicyVersion:
    for version in policy.versions:
        if wanted == f"v{version.number}":
            return version
    raise no_such_entity(f"Policy {policy.arn} version {wanted[:16]} does not exist or is not attachable.")


def _shown(policy: ManagedPolicy, attachments: int) -> Mapping[str, Value | None]:
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": f"v{policy.default}",
        "AttachmentCount": attachments,
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "Description": policy.description or None,
        "CreateDate": moment(policy.created),
        "UpdateDate": moment(policy.updated),
        "Tags": shown_tags(policy.tags) if policy.tags else None,
    }


def _shown_of_aws(arn: str) -> Mapping[str, Value | None]:
    path, _, name = arn.removeprefix(AWS_POLICIES).rpartition("/")
    return {
        "PolicyName": name,
        "Arn": arn,
        "Path": f"/{path}/" if path else "/",
        "DefaultVersionId": "v1",
        "IsAttachable": True,
    }


def _shown_version(policy: ManagedPolicy | None, version: PolicyVersion, *, with_document: bool) -> Value:
    """policy: None for one of AWS's, which has one version here."""
    return {
        "Document": quote(version.document, safe="") if with_document else None,
        "VersionId": f"v{version.number}",
        "IsDefaultVersion": policy is None or version.number == policy.default,
        "CreateDate": moment(version.created),
    }
