"""AWS's managed policies that a key may be given by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def _allow(*actions: str) -> str:
    document: Mapping[str, Any] = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
    }
    return json.dumps(document)


_ROLES = ("iam:GetRole", "iam:ListRoles", "iam:ListAttachedRolePolicies", "iam:PassRole")

MANAGED: Mapping[str, str] = {
    "AdministratorAccess": _allow("*"),
    "AWSLambda_FullAccess": _allow("lambda:*", "logs:*", "lambdad:*", *_ROLES),
    "AWSLambda_ReadOnlyAccess": _allow(
        "lambda:Get*",
        "lambda:List*",
        "lambdad:Get*",
        "logs:Describe*",
        "logs:Get*",
        "logs:Filter*",
        "logs:StartLiveTail",
        *_ROLES,
    ),
    "AWSLambdaRole": _allow("lambda:InvokeFunction"),
}
"""Documents by name, as far as they concern what is here. `lambdad:GetPage` and `PostPage` are the node's own pages."""
