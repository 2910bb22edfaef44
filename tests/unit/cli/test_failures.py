"""Advice for functions that failed."""

from __future__ import annotations

import json

import pytest

from lambdad.cli.failures import advise


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("Runtime.ImportModuleError", "requirements.txt"),
        ("Runtime.HandlerNotFound", "FILE.FUNCTION"),
        ("Runtime.InvalidEntrypoint", "Windows"),
        ("Sandbox.Timedout", "--timeout"),
        ("Runtime.OutOfMemory", "--memory"),
    ],
)
def test_a_known_error_comes_with_what_to_do(kind: str, word: str) -> None:
    assert word in advise(json.dumps({"errorType": kind}).encode())


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"null", b'{"errorType": 3}', b'{"errorType": "ValueError"}'])
def test_what_is_the_functions_own_is_not_commented(payload: bytes) -> None:
    assert advise(payload) == ""
