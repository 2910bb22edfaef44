"""Writes the table of docs/runtimes.md from a run of every case with every runtime that this machine can have.

`runtime_table.py [WORD...]` runs only those with one of the words in their name. What is not run keeps its line; the
script says what and why. As root: examples whose files are layers need a sandbox.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from lambdad.testing.proven_runtimes import ProvenRuntime, proven_clients, proven_examples
from lambdad.testing.runtime_conformance import Verdict, runtime_conformance
from lambdad.testing.runtime_table import documented_rows, table_row, with_table

FILE = Path(__file__).parents[1] / "docs" / "runtimes.md"


def main(words: list[str]) -> int:
    text = FILE.read_text()
    try:
        known = documented_rows(text)
    except ValueError:
        known = {}
    rows = {}
    for proven in (*proven_clients(), *proven_examples()):
        reason = proven.why_missing()
        if not reason and (not words or any(word in proven.name for word in words)):
            rows[proven.name] = _run(proven)
        elif proven.name in known:
            rows[proven.name] = known[proven.name]
            print(f"{proven.name}: as before{reason and f', {reason}'}")
        else:
            print(f"{proven.name}: left out, {reason or 'not asked for'}")
    FILE.write_text(with_table(text, rows))
    return 0


def _run(proven: ProvenRuntime) -> str:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        subject = proven.make(Path(scratch, "function"))
        results = asyncio.run(runtime_conformance(subject, patience=60.0, sandboxed=proven.needs_sandbox))
    print(f"{proven.name}: {time.monotonic() - started:.1f} s")
    for result in results:
        if result.verdict is Verdict.FAILED:
            print(f"  {result.case}: {result.detail}")
    return table_row(proven.name, results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
