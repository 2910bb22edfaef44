"""The table of docs/runtimes.md: what came of every case with every runtime, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lambdad.testing.runtime_conformance import CASE_NAMES, CaseResult, Verdict

BEGIN = "<!-- written by scripts/runtime_table.py -->"
END = "<!-- end -->"
MARKS = {Verdict.PASSED: "yes", Verdict.FAILED: "**no**", Verdict.UNSUPPORTED: "-"}
_FIRST = "runtime"


def table_row(name: str, results: Iterable[CaseResult]) -> str:
    """A line of the table. results: of every case."""
    marks = {result.case: MARKS[result.verdict] for result in results}
    return _line([name, *(marks[case] for case in CASE_NAMES)])


def documented_rows(text: str) -> dict[str, str]:
    """The table's lines by the runtime's name. Raises ValueError where there is no table of these cases."""
    lines = [line for line in _between(text).splitlines() if line.startswith("|")]
    if not lines or lines[0] != _line([_FIRST, *CASE_NAMES]):
        raise ValueError("docs/runtimes.md has no table of these cases: run scripts/runtime_table.py")
    return {line.split("|")[1].strip(): line for line in lines[2:]}


def with_table(text: str, rows: Mapping[str, str]) -> str:
    """The document with these lines, by name, in place of its table's."""
    header = [_line([_FIRST, *CASE_NAMES]), "|".join(["", *["---"] * (len(CASE_NAMES) + 1), ""])]
    table = "\n".join([*header, *rows.values()])
    _between(text)
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n\n{table}\n\n{END}{text.partition(END)[2]}"


def _between(text: str) -> str:
    _, begin, rest = text.partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/runtimes.md has no lines {BEGIN!r} and {END!r}")
    return table


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
