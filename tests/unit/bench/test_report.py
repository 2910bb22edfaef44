"""The page: numbers with three digits, a verdict beside each promise, the machine under each table."""

from __future__ import annotations

from pathlib import Path

from bench.figures import AtMost, Measurement, Row
from bench.report import describe_machine, read_documents, render_page, render_table, write_measurement, write_page

WARM = Measurement(
    name="warm",
    rows=(Row("lambdad: p50", 0.61234, "ms", AtMost(0.5)), Row("bare loop", 4200.4, "/s")),
    notes=("A note.",),
)


def test_a_table_shows_value_promise_and_verdict() -> None:
    assert render_table(WARM.rows) == (
        "| what | measured | promise | |\n"
        "|---|---:|---|---|\n"
        "| lambdad: p50 | 0.612 ms | <= 0.5 | **miss** |\n"
        "| bare loop | 4,200 /s |  |  |\n"
    )


def test_what_is_written_is_read_back_in_the_order_of_the_page(tmp_path: Path) -> None:
    cold = Measurement(name="cold", rows=(Row("p50", 20.0, "ms"),))
    write_measurement(cold, "today", "a machine", tmp_path)
    write_measurement(WARM, "yesterday", "another machine", tmp_path)
    documents = read_documents(tmp_path)
    assert [document["name"] for document in documents] == ["warm", "cold"]
    page = write_page(documents, tmp_path)
    assert page == render_page(documents) == (tmp_path / "latest.md").read_text()
    assert page.index("A note.") < page.index("Taken yesterday on another machine.") < page.index("## Cold start")


def test_the_machine_is_named_with_cores_and_kernel() -> None:
    assert " cores, " in describe_machine()
    assert "Linux " in describe_machine()
