"""Asking a node for a page: its document, or one line that says what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.cli.asking import ask
from lambdad.cli.endpoint import Endpoint
from lambdad.cli.errors import CliError
from lambdad.wire.http import Response


def answering(fake: Any, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes) -> Endpoint:
    monkeypatch.setattr(fake, "handle", lambda *_: Response(status, [], body))
    return Endpoint(fake.url)


def test_a_page_is_its_document(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(answering(fake, monkeypatch, 200, b'{"a": [1]}'), "/page", "thing") == {"a": [1]}


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (409, json.dumps({"message": "wait"}).encode(), "wait"),
        (404, b"{}", "HTTP 404"),
        (200, b"<html>", "has no thing to show: HTTP 200"),
    ],
)
def test_what_is_no_document_is_one_line(
    fake: Any, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, message: str
) -> None:
    with pytest.raises(CliError, match=message):
        ask(answering(fake, monkeypatch, status, body), "/page", "thing")
