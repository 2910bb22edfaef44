"""Operators, one by one, and what a missing key means for each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.identity.conditions import Context, complain, holds, is_operator

CONTEXT: Context = {
    "aws:sourceip": "10.1.2.3",
    "aws:username": "ada",
    "aws:currenttime": "1700000000.5",
    "aws:securetransport": "false",
    "aws:sourcearn": "arn:aws:s3:::bucket",
    "lambda:layer": ["arn:aws:lambda:r:1:layer:a:1", "arn:aws:lambda:r:1:layer:b:1"],
    "n": "5",
}


@pytest.mark.parametrize(
    ("operator", "key", "given_values", "expected"),
    [
        ("StringEquals", "aws:username", ["ada", "bob"], True),
        ("StringEquals", "AWS:UserName", ["bob"], False),
        ("StringEquals", "aws:username", ["${aws:username}"], True),
        ("StringEquals", "aws:username", ["${aws:nothing}"], False),
        ("StringEqualsIgnoreCase", "aws:username", ["ADA"], True),
        ("StringLike", "aws:username", ["a*"], True),
        ("StringNotEquals", "aws:username", ["ada", "bob"], False),
        ("StringNotLike", "aws:username", ["b*"], True),
        ("ArnLike", "aws:sourcearn", ["arn:aws:s3:::buck*"], True),
        ("ArnLike", "aws:sourcearn", ["arn:*"], False),
        ("ArnNotEquals", "aws:sourcearn", ["arn:aws:s3:::other"], True),
        ("Bool", "aws:securetransport", ["false"], True),
        ("Bool", "aws:securetransport", ["true"], False),
        ("IpAddress", "aws:sourceip", ["10.0.0.0/8"], True),
        ("NotIpAddress", "aws:sourceip", ["10.0.0.0/8"], False),
        ("IpAddress", "aws:sourceip", ["nonsense"], False),
        ("NumericLessThan", "n", ["6"], True),
        ("NumericGreaterThanEquals", "n", ["5"], True),
        ("NumericEquals", "n", ["five"], False),
        ("DateGreaterThan", "aws:currenttime", ["2023-11-14T00:00:00Z"], True),
        ("DateLessThan", "aws:currenttime", ["2023-11-14T00:00:00Z"], False),
        ("Null", "aws:nothing", ["true"], True),
        ("Null", "aws:username", ["true"], False),
        ("Null", "aws:username", ["false"], True),
        ("StringEquals", "aws:nothing", ["x"], False),
        ("StringNotEquals", "aws:nothing", ["x"], True),
        ("StringEqualsIfExists", "aws:nothing", ["x"], True),
        ("StringEqualsIfExists", "aws:username", ["x"], False),
        ("ForAllValues:StringLike", "lambda:layer", ["arn:aws:lambda:r:1:layer:*"], True),
        ("ForAllValues:StringLike", "lambda:layer", ["*:a:1"], False),
        ("ForAllValues:StringLike", "aws:nothing", ["*:a:1"], True),
        ("ForAnyValue:StringLike", "lambda:layer", ["*:a:1"], True),
        ("ForAnyValue:StringLike", "aws:nothing", ["*"], False),
        ("ForAnyValue:StringNotEquals", "aws:nothing", ["x"], False),
    ],
)
def test_a_condition(operator: str, key: str, given_values: list[str], expected: bool) -> None:
    assert is_operator(operator)
    assert holds(operator, key, given_values, CONTEXT) is expected


def test_what_is_no_operator() -> None:
    assert not any(map(is_operator, ["", "Equals", "StringEqualsTwice", "ForAnyValue:", "IfExists"]))


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("StringNotEquals", "aws:PrincipalTag/team", "x"),
        ("StringLike", "aws:UserName", "${aws:PrincipalTag/team}"),
        ("Bool", "aws:SecureTransport", "yes"),
        ("Null", "aws:SourceIp", "maybe"),
        ("NumericEquals", "aws:EpochTime", "soon"),
        ("DateLessThanIfExists", "aws:CurrentTime", "tomorrow"),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/40"),
    ],
)
def test_what_could_never_be_decided_is_refused(operator: str, key: str, value: str) -> None:
    assert complain(operator, key, [value]) is not None
    assert complain(operator, key, []) is not None


@given(st.sampled_from(["IpAddress", "NumericLessThan", "DateEquals", "ArnLike", "StringLike"]), st.text(), st.text())
def test_any_value_is_compared_or_does_not_fit(operator: str, value: str, text: str) -> None:
    assert holds(operator, "key", [text], {"key": value}) in (True, False)
