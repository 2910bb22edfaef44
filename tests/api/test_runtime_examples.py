"""Examples of custom runtimes, built with the real toolchains and run with their layers.

On a node: an answer, an error, an answer. In a sandbox: the whole conformance suite.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lambdad.pack.archive import extract_zip
from lambdad.testing.example_layers import LayerFailed, deployed_example, obtain_layer, why_no_layers
from lambdad.testing.examples import BUILDS, build_conformance
from lambdad.testing.probes import can_make_namespaces, is_root, skip_unless
from lambdad.testing.proven_runtimes import example_name
from lambdad.testing.runtime_conformance import Verdict, runtime_conformance
from lambdad.testing.runtime_subject import Subject
from lambdad.testing.runtime_table import documented_rows, table_row

DOCUMENT = Path(__file__).parents[2] / "docs" / "runtimes.md"
STATIC = ("rust", "cpp", "go", "haskell")
STREAMING = ("go",)
ALWAYS = {
    "three-invokes", "utf-8", "large-body", "too-large", "error", "deadline", "timeout", "late-response", "freeze",
    "init-error", "next-refused", "reconnect", "chunked-event", "long-headers",
}  # fmt: skip
"""Cases that every example passes; the others are about what a runtime need not have."""


@pytest.fixture
def built(language: str) -> str:
    """A language whose tool and layers this machine has; the first time they take minutes."""
    example = BUILDS[language]
    if shutil.which(example.tool) is None:
        pytest.skip(f"{example.tool} is not installed")
    if language == "rust" and subprocess.run(["rustc", "--version"], capture_output=True).returncode != 0:
        pytest.skip("rustc is rustup's, and rustup has no toolchain")
    if example.layers and (reason := why_no_layers()):
        pytest.skip(reason)
    for recipe in example.layers:
        obtain_or_skip(recipe)
    return language


def obtain_or_skip(recipe: str) -> Path:
    try:
        return obtain_layer(recipe)
    except LayerFailed as error:
        if error.mirror:
            pytest.skip(f"the mirror or the disk failed: {error}")
        raise


def is_static(program: Path) -> bool:
    done = subprocess.run(["ldd", program], capture_output=True, text=True)
    return "not a dynamic executable" in done.stderr or "statically linked" in done.stdout


@pytest.mark.parametrize("language", BUILDS)
def test_an_example_answers_fails_and_answers_again(built: str, lambda_client: Any, tmp_path: Path) -> None:
    with deployed_example(lambda_client, built, tmp_path / built, MemorySize=512, Timeout=60) as function:
        if built in STATIC:
            assert is_static(tmp_path / built / "bootstrap")
        for _ in range(2):
            assert "Ada" in str(function.invoke({"name": "Ada"}).value)
            if built != "bash":  # which takes every event
                failed = function.invoke({})
                assert failed.error == "Unhandled"
                assert failed.value["errorMessage"] == "no name in the event"


@skip_unless(is_root(), can_make_namespaces())
@pytest.mark.parametrize("language", BUILDS)
def test_the_runtime_of_an_example_keeps_to_the_contract_in_a_sandbox(built: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    build_conformance(built, tmp_path / "task")
    trees = []
    for number, recipe in enumerate(BUILDS[built].layers):
        trees.append(tmp_path / f"layer-{number}")
        trees[-1].mkdir()
        extract_zip(obtain_layer(recipe), trees[-1])

    subject = Subject(task=tmp_path / "task", layers=tuple(trees))
    results = asyncio.run(runtime_conformance(subject, patience=60.0, sandboxed=True))

    assert [result for result in results if result.verdict is Verdict.FAILED] == []
    passed = {result.case for result in results if result.verdict is Verdict.PASSED}
    assert passed >= ALWAYS
    assert built not in STREAMING or passed >= {"stream", "stream-error"}
    name = example_name(built)
    assert table_row(name, results) == documented_rows(DOCUMENT.read_text())[name]
