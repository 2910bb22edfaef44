"""Examples of custom runtimes, built with the real toolchains and invoked on a node: an answer, an error, an answer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lambdad.testing.examples import BUILDS, deploy_example


@pytest.mark.parametrize("language", BUILDS)
def test_an_example_answers_fails_and_answers_again(language: str, lambda_client: Any, tmp_path: Path) -> None:
    tool, _ = BUILDS[language]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    with deploy_example(lambda_client, language, tmp_path / language, MemorySize=512, Timeout=60) as function:
        for _ in range(2):
            assert "Ada" in str(function.invoke({"name": "Ada"}).value)
            if language != "bash":  # which takes every event
                failed = function.invoke({})
                assert failed.error == "Unhandled"
                assert failed.value["errorMessage"] == "no name in the event"
