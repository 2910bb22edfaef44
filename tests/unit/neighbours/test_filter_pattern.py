"""Filter patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.neighbours.filter_pattern import parse_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("", "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR Timeout", "Timeout: ERROR", True),
        ("ERROR Timeout", "ERROR", False),
        ('"out of memory"', "was out of memory", True),
        ('"out of memory"', "memory out of", False),
        ("?ERROR ?WARN", "a WARN", True),
        ("?ERROR ?WARN", "an INFO", False),
        ("ERROR -Timeout", "ERROR Timeout", False),
        (r'"say \"hi\""', 'say "hi"', True),
    ],
)
def test_terms_phrases_alternatives_and_exclusions(pattern: str, text: str, is_match: bool) -> None:
    assert parse_pattern(pattern).matches(text) is is_match


@pytest.mark.parametrize("pattern", ["{ $.a = 1 }", "[a, b]", "%x%", '"open', "x" * 2000])
def test_what_is_not_supported_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern"):
        parse_pattern(pattern)


@given(st.text())
def test_any_text_is_a_pattern_or_an_error(text: str) -> None:
    try:
        parse_pattern(text).matches(text)
    except ValueError as error:
        assert "pattern" in str(error)
