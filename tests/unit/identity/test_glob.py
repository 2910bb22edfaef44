"""Wildcards of policies, against the obvious but slow way of matching them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.identity.glob import matches

LETTERS = st.text("ab*?:", max_size=8)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("lambda:*", "lambda:invokefunction", True),
        ("lambda:Get?", "lambda:Gets", True),
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "aXbY", False),
        ("arn:*:f", "arn:x:y:f", True),
    ],
)
def test_a_star_is_any_text_and_a_question_mark_one_character(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


@given(LETTERS, st.text("ab:", max_size=8))
def test_it_is_what_a_regular_expression_says(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    assert matches(pattern, text) == (re.fullmatch(expression, text, re.DOTALL) is not None)


def test_many_stars_do_not_take_for_ever() -> None:
    assert not matches("*a" * 500 + "b", "a" * 5000)
