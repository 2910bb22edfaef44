"""Counting how often a request has passed a function."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.lineage import HEADER_MAX, PASSES_MAX, pass_through, passes

F, G = "arn:f", "arn:g"
ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_a_first_pass_adds_a_field_and_leaves_the_others() -> None:
    trace, count = pass_through(ROOT, F)
    assert count == 1
    assert re.fullmatch(re.escape(ROOT) + r";Lineage=[0-9a-f]{8}:1", trace)


def test_every_pass_is_counted_for_its_own_function() -> None:
    trace = ROOT
    for expected in range(1, PASSES_MAX + 3):
        trace, count = pass_through(trace, F)
        assert count == expected == passes(trace, F)
        trace, _ = pass_through(trace, G)
    assert trace.count("Lineage=") == 1
    assert passes(trace, "arn:other") == 0


def test_a_long_chain_of_functions_stays_short() -> None:
    trace = ROOT
    for number in range(200):
        trace, _ = pass_through(trace, f"arn:{number}")
    assert len(trace) < 600


@given(st.text())
def test_any_header_is_taken(trace: str) -> None:
    passed, count = pass_through(trace, F)
    assert count >= 1
    assert len(trace) > HEADER_MAX or passes(passed, F) == count


def test_a_header_that_is_too_long_is_left_alone() -> None:
    trace = "x" * (HEADER_MAX + 1)
    assert pass_through(trace, F) == (trace, 1)
