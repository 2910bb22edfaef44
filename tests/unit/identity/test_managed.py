"""The managed policies are policies, and mean what their names say."""

from __future__ import annotations

from lambdad.identity.managed import MANAGED
from lambdad.identity.policy import Access, Decision, decide, parse_policy


def _may(name: str, action: str) -> bool:
    access = Access(action=action, resource="arn:x", principal="arn:p", account="1", context={})
    return decide([parse_policy(MANAGED[name])], access) is Decision.ALLOW


def test_reading_is_not_writing() -> None:
    assert _may("AWSLambda_ReadOnlyAccess", "lambda:GetFunction")
    assert not _may("AWSLambda_ReadOnlyAccess", "lambda:InvokeFunction")
    assert _may("AWSLambdaRole", "lambda:InvokeFunction")
    assert not _may("AWSLambdaRole", "lambda:DeleteFunction")
    assert _may("AWSLambda_FullAccess", "lambda:DeleteFunction")
    assert all(_may("AdministratorAccess", action) for action in ("lambda:X", "logs:X", "lambdad:GetPage"))
