"""Which runtime stands in for one that is not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.runtimes.stand_in import find_stand_in

PRESENT = ("python3.9", "python3.11", "python3.13", "nodejs20.x", "java17", "provided", "provided.al2023")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("python3.8", "python3.9"),
        ("python3.10", "python3.11"),
        ("python3.12", "python3.13"),
        ("python3.14", "python3.13"),
        ("nodejs18.x", "nodejs20.x"),
        ("nodejs22.x", "nodejs20.x"),
        ("java8.al2", "java17"),
        ("java21", "java17"),
        ("ruby3.3", None),
        ("provided.al2", None),
        ("", None),
    ],
)
def test_the_next_newer_of_a_language_else_the_newest(wanted: str, found: str | None) -> None:
    assert find_stand_in(wanted, PRESENT) == found


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    assert find_stand_in(text, PRESENT) in {None, *PRESENT}
