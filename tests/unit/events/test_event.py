"""Events in the form of the queue, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lambdad.events.event import (
    Event,
    LastAttempt,
    child_id,
    decode_event,
    decode_last,
    encode_event,
    encode_last,
    parse_scope,
    progress_of,
    scope_of,
)
from lambdad.events.policy import Progress
from lambdad.testing.specs import HERE

EVENT = Event(
    namespace=HERE,
    function="f",
    qualifier="live",
    request_id="r-1",
    trace_id="Root=1-2-3",
    payload=b'{"a":1}',
    accepted=5.0,
)


@pytest.mark.parametrize("qualifier", [None, "live", "$LATEST", "7"])
def test_an_event_comes_back_as_it_was(qualifier: str | None) -> None:
    event = replace(EVENT, qualifier=qualifier)
    assert decode_event(encode_event(event)) == event
    assert parse_scope(scope_of(HERE, "f", qualifier)) == (HERE, "f", qualifier)


def test_records_name_an_event_by_a_qualified_arn() -> None:
    assert EVENT.arn == "arn:aws:lambda:us-east-1:000000000000:function:f:live"
    assert replace(EVENT, qualifier=None).arn.endswith(":f:$LATEST")


def test_what_the_last_attempt_brought_comes_back_as_it_was() -> None:
    last = LastAttempt(status=200, executed_version="3", function_error="Unhandled", payload="é", error_message="x")
    assert decode_last(encode_last(last)) == last
    assert decode_last(encode_last(None)) is None


def test_progress_is_that_of_the_message() -> None:
    message = replace(encode_event(EVENT), attempts=1, refusals=2)
    assert progress_of(message) == Progress(accepted=5.0, attempts=1, refusals=2)


def test_a_delivery_makes_the_same_event_each_time() -> None:
    assert child_id("r-1/on-success") == child_id("r-1/on-success") != child_id("r-1/on-failure")
