"""Credentials and regions are invented for a lambdad, never for AWS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]


def test_credentials_and_region_are_invented_only_where_there_are_none(
    fake: Any, lambdad: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    lambdad("ls")
    assert "Credential=lambdad/" in fake.authorizations[-1]
    assert "/us-east-1/lambda/" in fake.authorizations[-1]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "123456789012")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    lambdad("ls")
    assert "Credential=123456789012/" in fake.authorizations[-1]
    assert "/eu-west-1/lambda/" in fake.authorizations[-1]


def test_aws_without_credentials_says_so(lambdad: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    status, _, err = lambdad("ls", "--endpoint", "aws")
    assert (status, err) == (1, "error: no AWS credentials: configure them, or name the --endpoint of a lambdad\n")
