"""Records and dead letters, to the last member."""

from __future__ import annotations

import json

import pytest

from lambdad.events.event import Event, LastAttempt
from lambdad.events.policy import Condition
from lambdad.events.records import (
    ERROR_MESSAGE_MAX,
    dead_letter_attributes,
    decode_delivery,
    delivery,
    destination_record,
    encode_delivery,
)
from lambdad.testing.specs import HERE

EVENT = Event(
    namespace=HERE, function="f", qualifier=None, request_id="r-1", trace_id="t", payload=b'{"a": 1.0}', accepted=0.0
)
NOW = 1_573_755_365.568
RAN = LastAttempt(status=200, executed_version="$LATEST", payload='{"b":2}')


def test_a_record_of_a_success_has_awss_members() -> None:
    assert destination_record(EVENT, Condition.SUCCESS, 1, RAN, NOW) == (
        b'{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"r-1",'
        b'"functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"Success",'
        b'"approximateInvokeCount":1},"requestPayload":{"a": 1.0},"responseContext":{"statusCode":200,'
        b'"executedVersion":"$LATEST"},"responsePayload":{"b":2}}'
    )


def test_a_record_of_a_failure_says_which() -> None:
    last = LastAttempt(status=200, executed_version="7", function_error="Unhandled", payload="{}")
    record = json.loads(destination_record(EVENT, Condition.RETRIES_EXHAUSTED, 3, last, NOW))
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "7", "functionError": "Unhandled"}
    assert record["requestContext"]["condition"] == "RetriesExhausted"


@pytest.mark.parametrize("last", [None, LastAttempt(status=429, error_message="Rate Exceeded.")])
def test_what_never_ran_has_no_response(last: LastAttempt | None) -> None:
    record = json.loads(destination_record(EVENT, Condition.EVENT_AGE_EXCEEDED, 0, last, NOW))
    assert not {"responseContext", "responsePayload"} & record.keys()


@pytest.mark.parametrize(("payload", "told"), [("NaN", "NaN"), ("<html>", "<html>"), ("", ""), ("null", None)])
def test_a_response_that_is_not_json_stands_as_a_string(payload: str, told: object) -> None:
    last = LastAttempt(status=200, executed_version="1", payload=payload)
    assert json.loads(destination_record(EVENT, Condition.SUCCESS, 1, last, NOW))["responsePayload"] == told


def test_a_dead_letter_has_three_attributes_and_a_short_message() -> None:
    last = LastAttempt(status=200, executed_version="1", function_error="Unhandled", error_message="é" * 5_000)
    attributes = dead_letter_attributes(EVENT, Condition.RETRIES_EXHAUSTED, last)
    assert (attributes["RequestID"], attributes["ErrorCode"]) == ("r-1", "200")
    assert attributes["ErrorMessage"] == "é" * (ERROR_MESSAGE_MAX // 2)
    never_ran = dead_letter_attributes(EVENT, Condition.ZERO_RESERVED_CONCURRENCY, None)
    assert (never_ran["ErrorCode"], never_ran["ErrorMessage"]) == ("429", "ZeroReservedConcurrency")


def test_a_delivery_comes_back_from_the_queue_as_it_was() -> None:
    sent = delivery("dead-letter", "arn:aws:sqs:eu-west-1:000000000000:q/x", EVENT, b"body", NOW, {"a": "b"})
    message = encode_delivery(sent)
    assert decode_delivery(message) == sent
    assert (message.lane, message.id, message.accepted) == ("delivery", "r-1/dead-letter", NOW)
