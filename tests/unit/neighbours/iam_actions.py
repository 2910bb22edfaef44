"""IAM's actions on a store of their own, called as forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.store.records import run_with_store

from lambdad.model.errors import ApiError
from lambdad.neighbours import iam_policies, iam_roles
from lambdad.store.metadata import Transaction

ACCOUNT = "111111111111"
NOW = 1_750_000_000.0
ACTIONS = {
    **iam_roles.READING,
    **iam_roles.CHANGING,
    **iam_policies.READING,
    **iam_policies.CHANGING,
}
TRUST = json.dumps(
    {"Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}}
)
ALLOW = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})


class Iam:
    """What one account asks inside one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def ask(self, action: str, **form: str) -> Any:
        """The members of the answer. A `__` in a name is a dot."""
        dotted = {name.replace("__", "."): value for name, value in form.items()}
        return ACTIONS[action](self._transaction, ACCOUNT, dotted, NOW)

    def refused(self, action: str, **form: str) -> tuple[str, int, str]:
        with pytest.raises(ApiError) as error:
            self.ask(action, **form)
        return error.value.code, error.value.status, error.value.message

    def create_role(self, name: str, **form: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.ask("CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST, **form)
        return answer


def with_iam(directory: Path, work: Callable[[Iam], None]) -> None:
    run_with_store(directory, lambda store: store.write(lambda transaction: work(Iam(transaction))))
