"""Waiting for a function, with a client that tells a story."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.stack.errors import StackError
from lambdad.stack.settling import wait_until_settled


class Story:
    """Answers one configuration after the other."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self._states = list(states)
        self.asked: list[dict[str, Any]] = []

    def get_function_configuration(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        return self._states.pop(0)


def test_it_looks_until_nothing_is_going_on() -> None:
    slept: list[float] = []
    story = Story({"State": "Pending"}, {"State": "Active", "LastUpdateStatus": "InProgress"}, {"State": "Active"})
    assert wait_until_settled(story, "f", "live", sleep=slept.append) == {"State": "Active"}
    assert story.asked == [{"FunctionName": "f", "Qualifier": "live"}] * 3
    assert slept == sorted(slept) and len(slept) == 2


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"State": "Failed", "StateReason": "no image"}, "f failed: no image"),
        ({"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "no layer"}, "f failed: no layer"),
        ({"State": "Failed"}, "no reason given"),
    ],
)
def test_a_failure_is_told_with_its_reason(state: dict[str, Any], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        wait_until_settled(Story(state), "f")
