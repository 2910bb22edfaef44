"""STS: who calls."""

from __future__ import annotations

from tests.unit.neighbours.test_query_protocol import texts

from lambdad.neighbours.query_protocol import Identified
from lambdad.neighbours.sts import caller_identity


def test_callers_learn_who_they_are() -> None:
    caller = Identified("123456789012", "arn:aws:iam::123456789012:user/<Ada>", "AIDA1")
    shown = texts(caller_identity(caller).body)
    assert (shown["Arn"], shown["UserId"], shown["Account"]) == (caller.arn, "AIDA1", "123456789012")
