"""Documents, and what they decide."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.identity.policy import Access, Decision, Policy, PolicyError, decide, parse_policy

FUNCTION = "arn:aws:lambda:us-east-1:111111111111:function:f"
ADA = "arn:aws:iam::111111111111:user/ada"


def _policy(*statements: dict[str, Any], of_resource: bool = False) -> Policy:
    return parse_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), of_resource=of_resource)


def _allow(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "lambda:*", "Resource": "*", **members}


def _deny(**members: Any) -> dict[str, Any]:
    return _allow(Effect="Deny", **members)


def _access(action: str = "lambda:InvokeFunction", resource: str = FUNCTION, **context: str) -> Access:
    return Access(action=action, resource=resource, principal=ADA, account="111111111111", context=context)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (_allow(), Decision.ALLOW),
        (_allow(Action="LAMBDA:invoke*"), Decision.ALLOW),
        (_allow(Action=["lambda:GetFunction"]), Decision.NOTHING),
        (_allow(Resource="arn:aws:lambda:*:*:function:f"), Decision.ALLOW),
        (_allow(Resource=f"{FUNCTION}:live"), Decision.NOTHING),
        (_deny(), Decision.DENY),
        (_allow(Condition={"StringEquals": {"aws:username": "ada"}}), Decision.NOTHING),
        ({"Effect": "Allow", "NotAction": "lambda:Delete*", "Resource": "*"}, Decision.ALLOW),
        ({"Effect": "Allow", "NotAction": "lambda:Invoke*", "Resource": "*"}, Decision.NOTHING),
        ({"Effect": "Deny", "Action": "*", "NotResource": FUNCTION}, Decision.NOTHING),
    ],
)
def test_one_statement(statement: dict[str, Any], expected: Decision) -> None:
    assert decide([_policy(statement)], _access()) is expected


def test_a_denial_wins_wherever_it_stands() -> None:
    for policies in ([_policy(_allow(), _deny())], [_policy(_deny()), _policy(_allow())]):
        assert decide(policies, _access()) is Decision.DENY
    assert decide([], _access()) is Decision.NOTHING


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", Decision.ALLOW),
        ({"AWS": "*"}, Decision.ALLOW),
        ({"AWS": [ADA]}, Decision.ALLOW),
        ({"AWS": "111111111111"}, Decision.ACCOUNT),
        ({"AWS": "arn:aws:iam::111111111111:root"}, Decision.ACCOUNT),
        ({"AWS": "arn:aws:iam::111111111111:user/bob"}, Decision.NOTHING),
        ({"AWS": "222222222222"}, Decision.NOTHING),
        ({"Service": "s3.amazonaws.com"}, Decision.NOTHING),
    ],
)
def test_a_resource_policy_is_about_somebody(principal: Any, expected: Decision) -> None:
    policy = _policy(_allow(Principal=principal), of_resource=True)
    assert decide([policy], _access()) is expected


def test_an_allowance_names_whom_it_lets_in() -> None:
    for statement in (_allow(NotPrincipal="*"), _deny(NotPrincipal="*", Principal="*")):
        with pytest.raises(PolicyError, match="NotPrincipal is for a Deny without a Principal"):
            _policy(statement, of_resource=True)


@pytest.mark.parametrize(
    ("excepted", "expected"),
    [
        ({"AWS": [ADA, "arn:aws:iam::111111111111:root"]}, Decision.NOTHING),
        ({"AWS": [ADA, "111111111111"]}, Decision.NOTHING),
        ("*", Decision.NOTHING),
        ({"AWS": [ADA]}, Decision.DENY),
        ({"AWS": ["111111111111"]}, Decision.DENY),
        ({"AWS": ["arn:aws:iam::111111111111:user/bob", "111111111111"]}, Decision.DENY),
        ({"Service": "s3.amazonaws.com"}, Decision.DENY),
    ],
)
def test_a_denial_may_except_principals_that_it_names_with_their_account(excepted: Any, expected: Decision) -> None:
    policy = _policy(_deny(NotPrincipal=excepted), of_resource=True)
    assert decide([policy], _access()) is expected
    anonymous = Access(action="lambda:InvokeFunction", resource=FUNCTION, context={})
    assert decide([policy], anonymous) is (Decision.NOTHING if excepted == "*" else Decision.DENY)


def test_a_stranger_is_let_in_by_a_policy_for_everybody_alone() -> None:
    stranger = Access(action="lambda:InvokeFunctionUrl", resource=FUNCTION, context={})
    for principal, expected in (("*", Decision.ALLOW), ({"AWS": "111111111111"}, Decision.NOTHING)):
        assert decide([_policy(_allow(Principal=principal), of_resource=True)], stranger) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("[" * 5000, "not valid JSON"),
        ("[]", "a JSON object"),
        ('{"Version": "2020", "Statement": []}', "the Version"),
        ('{"Statement": []}', "1 to 200 statements"),
        ('{"Statement": [1]}', "statement 1 is not a JSON object"),
        (json.dumps({"Statement": _allow(Effect="Maybe")}), "Effect is Allow or Deny"),
        (json.dumps({"Statement": _allow(Nonsense=1)}), "unknown member Nonsense"),
        (json.dumps({"Statement": _allow(NotAction="*")}), "either Action or NotAction"),
        (json.dumps({"Statement": _allow(Principal="*")}), "has no Principal"),
        (json.dumps({"Statement": _deny(NotPrincipal="*")}), "has no Principal"),
        (json.dumps({"Statement": _allow(Action=[])}), "a text or a list of texts"),
        (json.dumps({"Statement": _allow(Condition={"Equals": {}})}), "operator Equals is not known"),
        (json.dumps({"Statement": _allow(Condition={"Bool": {"a": {}}})}), "a text, a number"),
        ("x" * 30_000, "at most 20480 characters"),
    ],
)
def test_what_is_no_policy_says_why(text: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason):
        parse_policy(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Version", "Statement", "Effect", "Action", "Resource", "Principal", "NotPrincipal", "Condition"]
            )
            | st.text(),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON, st.booleans())
def test_any_document_is_a_policy_or_is_refused(document: Any, of_resource: bool) -> None:
    try:
        policy = parse_policy(json.dumps(document), of_resource=of_resource)
    except PolicyError as error:
        assert str(error)
    else:
        decide([policy], _access())


STATEMENTS = st.builds(
    lambda effect, action, resource: _allow(Effect=effect, Action=action, Resource=resource),
    st.sampled_from(["Allow", "Deny"]),
    st.sampled_from(["*", "lambda:*", "lambda:Invoke*", "lambda:GetFunction"]),
    st.sampled_from(["*", FUNCTION, f"{FUNCTION}:live"]),
)


@given(st.lists(STATEMENTS, min_size=1, max_size=6))
def test_an_explicit_denial_always_wins(statements: list[dict[str, Any]]) -> None:
    single = [decide([_policy(statement)], _access()) for statement in statements]
    together = decide([_policy(*statements)], _access())
    if Decision.DENY in single:
        assert together is Decision.DENY
    else:
        assert together is (Decision.ALLOW if Decision.ALLOW in single else Decision.NOTHING)


PRINCIPALS = st.sets(
    st.sampled_from([ADA, "arn:aws:iam::111111111111:root", "111111111111", "222222222222", "arn:aws:iam::1:user/x"]),
    min_size=1,
)


@given(PRINCIPALS)
def test_whom_a_denial_excepts_it_does_not_touch_and_everybody_else_it_does(excepted: set[str]) -> None:
    policy = _policy(_allow(Principal="*"), _deny(NotPrincipal={"AWS": sorted(excepted)}), of_resource=True)
    is_excepted = ADA in excepted and bool(excepted & {"111111111111", "arn:aws:iam::111111111111:root"})
    assert decide([policy], _access()) is (Decision.ALLOW if is_excepted else Decision.DENY)
