"""JSON 1.1 as CloudWatch Logs speaks it."""

from __future__ import annotations

import json

import pytest

from lambdad.neighbours.json_protocol import BODY_MAX, Input, JsonError, answer, failure


def test_members_have_types_and_bounds() -> None:
    given = Input(b'{"a": "x", "n": 5, "f": true, "l": ["y"]}')
    assert (given.text("a"), given.text("none")) == ("x", None)
    assert (given.number("n", 1, least=1, most=9), given.number("none", 7, least=1, most=9)) == (5, 7)
    assert (given.flag("f"), given.texts("l"), given.texts("none")) == (True, ["y"], [])
    for wrong in (
        lambda: given.text("n"),
        lambda: given.number("a", 1, least=1, most=9),
        lambda: given.number("n", 1, least=1, most=4),
        lambda: given.flag("a"),
        lambda: given.texts("a"),
    ):
        with pytest.raises(JsonError):
            wrong()


def test_a_request_that_is_too_large_is_refused() -> None:
    with pytest.raises(JsonError, match="larger than"):
        Input(b" " * (BODY_MAX + 1))


def test_answers_and_errors_name_the_request() -> None:
    fine, bad = answer({"a": 1}, "id"), failure(JsonError("CodeException", "text"), "id")
    assert (fine.status, json.loads(fine.body), dict(fine.headers)["x-amzn-RequestId"]) == (200, {"a": 1}, "id")
    assert (bad.status, json.loads(bad.body)) == (400, {"__type": "CodeException", "message": "text"})
