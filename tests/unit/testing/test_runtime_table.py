"""The table of docs/runtimes.md is what a run says, and has a line for every runtime that is proven."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.testing.proven_runtimes import proven_clients, proven_examples
from lambdad.testing.runtime_conformance import CASE_NAMES, CaseResult, Verdict
from lambdad.testing.runtime_table import BEGIN, END, documented_rows, table_row, with_table

FILE = Path(__file__).parents[3] / "docs" / "runtimes.md"
EMPTY = f"# Title\n\ntext\n\n{BEGIN}\n\n{END}\n\nmore\n"


def test_every_proven_runtime_has_a_line_in_the_order_of_the_source() -> None:
    names = [proven.name for proven in (*proven_clients(), *proven_examples())]
    assert list(documented_rows(FILE.read_text())) == names


def test_no_runtime_of_ours_fails_a_case() -> None:
    assert "**no**" not in FILE.read_text()


def test_a_table_is_read_as_it_was_written_and_the_text_around_it_stays() -> None:
    verdicts = [Verdict.PASSED, Verdict.FAILED, Verdict.UNSUPPORTED, *[Verdict.PASSED] * (len(CASE_NAMES) - 3)]
    row = table_row("mine", [CaseResult(case, verdict) for case, verdict in zip(CASE_NAMES, verdicts, strict=True)])
    assert row.startswith("| mine | yes | **no** | - | yes |")

    text = with_table(with_table(EMPTY, {"other": row}), {"mine": row})

    assert documented_rows(text) == {"mine": row}
    assert text.startswith(f"# Title\n\ntext\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nmore\n")


@pytest.mark.parametrize("text", ["", BEGIN, EMPTY, EMPTY.replace("\n\n<!-- end", "\n\n| other | cases |\n<!-- end")])
def test_a_document_without_the_table_of_these_cases_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"docs/runtimes\.md has no"):
        documented_rows(text)
