"""Conditions of filter patterns; whole patterns are tested beside `filter_pattern`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.neighbours.filter_expression import (
    All,
    Condition,
    Either,
    matches_wildcards,
    parse_expression,
    select,
    selectors,
)


def test_and_binds_closer_than_or() -> None:
    expression = parse_expression('$.a = 1 || $.b = "x" && $.c NOT EXISTS')
    assert expression == Either(
        (
            Condition("$.a", "=", "1"),
            All((Condition("$.b", "=", "x", quoted=True), Condition("$.c", "NOT EXISTS"))),
        )
    )
    assert selectors(expression) == ["$.a", "$.b", "$.c"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("$.a", [[1, {"b": 2}]]),
        ("$.a[1].b", [2]),
        ("$.a[*].b", [2]),
        ("$.a[9]", []),
        ("$.x.y", []),
        ("$.a.b", []),
    ],
)
def test_selectors_name_values(selector: str, found: list[object]) -> None:
    assert select({"a": [1, {"b": 2}]}, selector) == found


@given(st.lists(st.text("ab", max_size=4), min_size=2, max_size=4), st.text("abc", max_size=4))
def test_a_wildcard_stands_for_anything(parts: list[str], between: str) -> None:
    assert matches_wildcards("*".join(parts), between.join(parts))
    assert matches_wildcards("*", between)


def test_many_wildcards_take_no_time() -> None:
    assert not matches_wildcards("a*" * 500 + "b", "a" * 100_000)
