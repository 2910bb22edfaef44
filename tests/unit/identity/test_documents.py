"""Documents of roles: their form, and whom they trust."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.identity.documents import LAMBDA, check_permissions, check_trust, is_trusted
from lambdad.identity.policy import PolicyError


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": LAMBDA}, "Action": "sts:AssumeRole", **members}


ALLOW = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}


def test_permissions_may_speak_of_any_service_and_its_conditions() -> None:
    leading = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${cognito-identity.amazonaws.com:sub}"]}}
    check_permissions(document({**ALLOW, "Condition": leading}))
    check_permissions(json.dumps({"Statement": ALLOW}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "JSON object"),
        (json.dumps({"Version": "2020-01-01", "Statement": ALLOW}), "Version"),
        (document(), "1 to 200 statements"),
        (document(1), "statement 1 is not"),
        (document({**ALLOW, "Effect": "Maybe"}), "Effect"),
        (document(ALLOW, {"Effect": "Allow", "Action": "x:y"}), "statement 2 needs either Resource"),
        (document({**ALLOW, "NotAction": "x:y"}), "either Action or NotAction"),
        (document({**ALLOW, "Action": []}), "Action is a text"),
        (document({**ALLOW, "Resource": [1]}), "Resource is a text"),
        (document({**ALLOW, "Condition": []}), "Condition"),
        (document({**ALLOW, "Principal": "*"}), "no Principal"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason):
        check_permissions(text)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (trust(Principal={}), "Principal is"),
        (trust(Principal="somebody"), "Principal is"),
        (trust(Resource="*"), "no Resource"),
        ({"Effect": "Allow", "Action": "sts:AssumeRole"}, "either Principal"),
    ],
)
def test_a_trust_policy_names_who_is_trusted(statement: Any, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason):
        check_trust(document(statement))


@pytest.mark.parametrize(
    ("statements", "is_let_in"),
    [
        ([trust()], True),
        ([trust(Principal={"Service": ["edgelambda.amazonaws.com", LAMBDA]})], True),
        ([trust(Action=["sts:*"])], True),
        ([trust(Principal="*")], True),
        ([trust(Principal={"Service": "ec2.amazonaws.com"})], False),
        ([trust(Principal={"AWS": "123456789012"})], False),
        ([trust(Action="sts:TagSession")], False),
        ([trust(), trust(Effect="Deny")], False),
        ([trust(Effect="Deny"), trust()], False),
    ],
)
def test_whether_lambda_may_be_the_role(statements: list[Any], is_let_in: bool) -> None:
    check_trust(document(*statements))
    assert is_trusted(document(*statements), LAMBDA) is is_let_in


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Principal", "Condition"])
                | st.text(),
                inner,
            )
        ),
    )
)
def test_any_json_is_a_policy_or_refused(value: Any) -> None:
    for check in (check_permissions, check_trust):
        try:
            check(json.dumps(value))
        except PolicyError as error:
            assert str(error)
