"""Statements and policies as values."""

from __future__ import annotations

import json

import pytest

from lambdad.control.policies import add_statement, make_statement, policy_json, remove_statement, statement_json
from lambdad.model.errors import ApiError
from lambdad.model.settings import Policy

RESOURCE = "arn:aws:lambda:eu-west-1:123456789012:function:f"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("*", "*"),
        ("111111111111", {"AWS": "arn:aws:iam::111111111111:root"}),
        ("arn:aws:iam::111111111111:role/r", {"AWS": "arn:aws:iam::111111111111:role/r"}),
        ("events.amazonaws.com", {"Service": "events.amazonaws.com"}),
        ("alexa-appkit.amazon.com", {"Service": "alexa-appkit.amazon.com"}),
    ],
)
def test_a_principal_is_shown_as_iam_writes_it(given: str, shown: object) -> None:
    params = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": given}
    assert json.loads(statement_json(make_statement(params, RESOURCE)))["Principal"] == shown


@pytest.mark.parametrize("principal", ["nobody", "12345", "arn:aws:s3:::b", "amazonaws.com", "x.example.com"])
def test_what_is_no_principal_is_refused(principal: str) -> None:
    with pytest.raises(ApiError, match="The provided principal was invalid"):
        make_statement({"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": principal}, RESOURCE)


def test_url_conditions_are_strings_and_belong_to_one_action() -> None:
    params = {
        "StatementId": "s",
        "Action": "lambda:InvokeFunctionUrl",
        "Principal": "*",
        "FunctionUrlAuthType": "NONE",
        "InvokedViaFunctionUrl": True,
    }
    assert json.loads(statement_json(make_statement(params, RESOURCE)))["Condition"] == {
        "StringEquals": {"lambda:FunctionUrlAuthType": "NONE"},
        "Bool": {"lambda:InvokedViaFunctionUrl": "true"},
    }
    with pytest.raises(ApiError, match="FunctionUrlAuthType is only supported"):
        make_statement(params | {"Action": "lambda:InvokeFunction"}, RESOURCE)


def test_a_policy_is_at_most_20_kib() -> None:
    policy: Policy | None = None
    with pytest.raises(ApiError) as caught:
        for number in range(1000):
            params = {"StatementId": f"s{number}", "Action": "lambda:InvokeFunction", "Principal": "*"}
            policy = add_statement(policy, make_statement(params, RESOURCE), "revision")
    assert caught.value.code == "PolicyLengthExceededException"
    assert policy is not None
    assert len(policy_json(policy)) <= 20 * 1024


def test_without_its_last_statement_a_policy_is_gone() -> None:
    params = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}
    policy = add_statement(None, make_statement(params, RESOURCE), "revision")
    assert remove_statement(policy, "s", "next") is None
