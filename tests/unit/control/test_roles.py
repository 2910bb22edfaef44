"""Which roles functions may have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.store.records import run_with_store

from lambdad.control.roles import any_role, kept_role
from lambdad.identity.documents import LAMBDA
from lambdad.model.errors import ApiError
from lambdad.model.role import Role
from lambdad.store.metadata import Transaction

ACCOUNT = "111111111111"
REFUSED = "The role defined for the function cannot be assumed by Lambda."


def role(name: str, service: str) -> Role:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Statement": statement})
    return Role(account=ACCOUNT, name=name, path="/team/", id="AROA1", created=1.0, trust=trust)


@pytest.mark.parametrize(
    ("arn", "message"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/team/good", None),
        (f"arn:aws:iam::{ACCOUNT}:role/good", REFUSED),
        (f"arn:aws:iam::{ACCOUNT}:role/team/other", REFUSED),
        (f"arn:aws:iam::{ACCOUNT}:role/team/machine", REFUSED),
        ("arn:aws:iam::222222222222:role/team/good", "Cross-account pass role is not allowed."),
    ],
)
def test_a_kept_role_is_the_accounts_own_and_trusts_lambda(tmp_path: Path, arn: str, message: str | None) -> None:
    def work(transaction: Transaction) -> None:
        transaction.roles.put(role("good", LAMBDA))
        transaction.roles.put(role("machine", "ec2.amazonaws.com"))
        any_role(transaction, ACCOUNT, arn)
        if message is None:
            kept_role(transaction, ACCOUNT, arn)
        else:
            with pytest.raises(ApiError) as refused:
                kept_role(transaction, ACCOUNT, arn)
            assert refused.value.message == message

    run_with_store(tmp_path, lambda store: store.write(work))
