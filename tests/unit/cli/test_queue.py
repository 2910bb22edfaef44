"""`lambdad queue` against canned pages of a node."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lambdad.wire.http import Response

Command = Callable[..., tuple[int, str, str]]
MESSAGE = {
    "lane": "event",
    "id": "r-1",
    "target": "f",
    "state": "dead",
    "accepted": 1_000.0,
    "due": None,
    "attempts": 3,
    "refusals": 0,
    "size": 7,
    "reason": "RetriesExhausted",
    "died": 2_000.0,
}
USAGE = {"event": {"waiting": 1, "leased": 2, "size": 7, "dead": 3, "dead_size": 7}}


@pytest.fixture
def asked(fake: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that were asked for, method and all."""
    pages: list[str] = []
    documents = {
        "/messages": {"messages": [MESSAGE]},
        "/messages/r-1": {**MESSAGE, "last": "no json", "payload": '{"a":1}'},
        "/redrive": {"redriven": 2},
        "/purge": {"purged": 1},
        "": USAGE,
    }
    usual = fake.handle

    def handle(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Response:
        if not path.startswith("/_lambdad/queue"):
            response: Response = usual(method, path, query, headers, body)
            return response
        assert "Credential=" in headers["authorization"]
        rest = path.removeprefix("/_lambdad/queue")
        pages.append(f"{method} {rest}?{query}")
        found = documents.get(rest)
        document = {"message": "no such message"} if found is None else found
        return Response(404 if found is None else 200, [], json.dumps(document).encode())

    monkeypatch.setattr(fake, "handle", handle)
    return pages


def test_messages_are_listed_with_a_summary(asked: list[str], lambdad: Command) -> None:
    status, out, err = lambdad("queue", "ls", "--dead", "--function", "f:v")
    assert (status, err) == (0, "event: 1 waiting, 2 running, 3 dead\n")
    head, row = (line.split() for line in out.splitlines())
    assert head == ["Id", "For", "State", "Age", "Next", "Tries", "Size", "Why"]
    assert row[:3] + row[-1:] == ["r-1", "f", "dead", "RetriesExhausted"]
    assert asked[0] == "GET /messages?state=dead&limit=100&function=f%3Av"


def test_messages_are_listed_for_programs(asked: list[str], lambdad: Command) -> None:
    assert json.loads(lambdad("queue", "ls", "--json")[1]) == [MESSAGE]


def test_a_message_is_shown_with_its_payload(asked: list[str], lambdad: Command) -> None:
    status, out, _ = lambdad("queue", "show", "r-1")
    assert status == 0
    assert "reason    RetriesExhausted" in out
    assert 'payload:\n{\n  "a": 1\n}' in out
    assert "last:\nno json" in out
    status, _, err = lambdad("queue", "show", "r-2")
    assert (status, err) == (1, "error: no such message\n")


def test_messages_are_redriven_and_purged(asked: list[str], lambdad: Command) -> None:
    assert lambdad("queue", "redrive", "r-1") == (0, "redriven: 2\n", "")
    assert lambdad("queue", "purge", "--all", "--dead", "--yes") == (0, "purged: 1\n", "")
    assert asked == ["POST /redrive?id=r-1", "POST /purge?state=dead"]


@pytest.mark.parametrize(
    "arguments", [("redrive",), ("redrive", "r-1", "--all"), ("purge", "--yes"), ("purge", "--all")]
)
def test_what_is_not_said_clearly_changes_nothing(asked: list[str], lambdad: Command, arguments: tuple[str]) -> None:
    status, _, err = lambdad("queue", *arguments)
    assert status == 2
    assert "say" in err
    assert asked == []
