"""What is printed is safe to print."""

from __future__ import annotations

import pytest

from lambdad.cli.output import one_line, plain_table, size, terminal_safe


def test_columns_are_aligned_without_trailing_spaces() -> None:
    assert plain_table(("A", "Long"), [("xyz", "1"), ("", "")]) == ["A    Long", "xyz  1", ""]
    assert plain_table(("", ""), [("Name", "f")]) == ["Name  f"]
    assert plain_table(("A",), []) == ["A"]


def test_control_sequences_do_not_reach_the_terminal() -> None:
    assert one_line("a\nb\x1b[31m\tc") == "a b[31mc"
    assert terminal_safe("a\tb\x1b[31m\x9bc") == "a\tb[31mc"
    assert one_line("") == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (52_428_800, "52.4 MB"), (10**13, "10000.0 GB")],
)
def test_sizes_are_for_people(count: int | None, text: str) -> None:
    assert size(count) == text
