"""Names and ARNs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.arn import (
    FunctionReference,
    LayerVersionReference,
    Namespace,
    function_arn,
    layer_arn,
    parse_function_reference,
    parse_layer_arn,
)

HERE = Namespace("123456789012", "eu-west-1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f", FunctionReference("f")),
        ("f:7", FunctionReference("f", "7")),
        ("f:$LATEST", FunctionReference("f", "$LATEST")),
        ("function:f:live", FunctionReference("f", "live")),
        ("123456789012:function:f", FunctionReference("f", None, "123456789012")),
        (
            "arn:aws:lambda:eu-west-1:123456789012:function:f:live",
            FunctionReference("f", "live", "123456789012", "eu-west-1"),
        ),
        ("", None),
        ("f/g", None),
        ("f:a:b", None),
        ("arn:aws:lambda:eu-west-1:1:function:f", None),
    ],
)
def test_every_way_to_name_a_function_is_understood_and_nothing_else(
    text: str, expected: FunctionReference | None
) -> None:
    assert parse_function_reference(text) == expected


@given(st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True), st.sampled_from([None, "1", "live", "$LATEST"]))
def test_a_printed_function_arn_is_parsed_back(name: str, qualifier: str | None) -> None:
    parsed = parse_function_reference(function_arn(HERE, name, qualifier))
    assert parsed == FunctionReference(name, qualifier, HERE.account, HERE.region)


@pytest.mark.parametrize("version", [None, 3])
def test_a_printed_layer_arn_is_parsed_back(version: int | None) -> None:
    assert parse_layer_arn(layer_arn(HERE, "l", version)) == LayerVersionReference(HERE, "l", version)


def test_what_is_no_layer_arn_is_none() -> None:
    assert parse_layer_arn("arn:aws:lambda:eu-west-1:123456789012:function:f") is None
