"""Whether a function may have its role. A node takes any role by default; one that keeps roles asks as AWS does."""

from __future__ import annotations

from lambdad.identity.documents import LAMBDA, is_trusted
from lambdad.model.errors import access_denied, invalid_parameter
from lambdad.store.metadata import Transaction

ANY, KEPT = "any", "kept"


def any_role(transaction: Transaction, account: str, arn: str) -> None:
    """Whatever is named: what a function may do elsewhere is decided there."""


def kept_role(transaction: Transaction, account: str, arn: str) -> None:
    """Only a role of the caller's account that exists and that trusts Lambda. Raises ApiError."""
    if arn.split(":")[4] != account:
        raise access_denied("Cross-account pass role is not allowed.")
    role = transaction.roles.get(account, arn.rpartition("/")[2])
    if role is None or role.arn != arn or not is_trusted(role.trust, LAMBDA):
        raise invalid_parameter("The role defined for the function cannot be assumed by Lambda.")
