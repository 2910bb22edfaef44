"""AWS's own runtime clients and ours against the conformance suite: each is what its line in docs/runtimes.md says.

The examples are held against theirs in tests/api/test_runtime_examples.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambdad.runtimes.tree_cache import TreeError
from lambdad.testing.probes import can_make_namespaces, is_root, skip_unless
from lambdad.testing.proven_runtimes import ProvenRuntime, proven_clients
from lambdad.testing.runtime_conformance import CaseResult, Verdict, runtime_conformance
from lambdad.testing.runtime_subject import Subject
from lambdad.testing.runtime_table import documented_rows, table_row

PATIENCE_S = 60.0
CLIENTS = {proven.name: proven for proven in proven_clients()}
OURS = "lambdad, Python"


def made(proven: ProvenRuntime, directory: Path) -> Subject:
    """Skips where this machine cannot build it."""
    if reason := proven.why_missing():
        pytest.skip(reason)
    try:
        return proven.make(directory)
    except TreeError as error:
        if "registry" in str(error) or "npm" in str(error):
            pytest.skip(f"npm's registry did not give it: {error}")
        raise


def failures(results: list[CaseResult]) -> list[CaseResult]:
    return [result for result in results if result.verdict is Verdict.FAILED]


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_does_with_every_case_what_its_line_says(name: str, tmp_path: Path) -> None:
    results = asyncio.run(runtime_conformance(made(CLIENTS[name], tmp_path / "function"), patience=PATIENCE_S))

    assert failures(results) == []
    text = (Path(__file__).parents[2] / "docs" / "runtimes.md").read_text()
    assert table_row(name, results) == documented_rows(text)[name]


@pytest.mark.kernel
@skip_unless(is_root(), can_make_namespaces())
def test_a_managed_runtime_passes_in_a_sandbox_what_it_passes_without(tmp_path: Path) -> None:
    subject = made(CLIENTS[OURS], tmp_path / "function")
    results = asyncio.run(runtime_conformance(subject, patience=PATIENCE_S, sandboxed=True))

    assert failures(results) == []
    passed = {result.case for result in results if result.verdict is Verdict.PASSED}
    assert {"stream", "stream-error", "timeout", "freeze", "missing-handler"} <= passed
