from __future__ import annotations

import pytest

from lambdad.sandbox.interface import ExitStatus, SandboxError, StartError


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (ExitStatus(0, None), "exit status 0"),
        (ExitStatus(137, None), "exit status 137"),
        (ExitStatus(None, 9), "signal: killed"),
        (ExitStatus(None, 11), "signal: segmentation fault"),
        (ExitStatus(None, 40), "signal: 40"),
    ],
)
def test_an_exit_is_described_in_awss_words(status: ExitStatus, words: str) -> None:
    assert status.describe() == words


def test_an_error_of_the_function_is_one_of_the_sandbox_with_a_kind() -> None:
    error = StartError("Runtime.InvalidEntrypoint", "text")
    assert isinstance(error, SandboxError)
    assert (error.kind, str(error)) == ("Runtime.InvalidEntrypoint", "text")
