"""What is sent when an event has ended: AWS's destination record, and the dead letter. Pure.

Source: "Capturing records of Lambda asynchronous invocations" and "Dead-letter queues", AWS Lambda Developer Guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import orjson

from lambdad.events.event import Event, LastAttempt
from lambdad.events.policy import Condition
from lambdad.model.arn import Namespace
from lambdad.store.event_queue import Message

DeliveryKind: TypeAlias = Literal["on-success", "on-failure", "dead-letter"]

ERROR_MESSAGE_MAX = 1024
"""Bytes of ErrorMessage in a dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something to send to a target. id: the same at each attempt.

    function, function_arn, namespace: whose event it was. attributes: of dead letters. created: epoch seconds.
    """

    id: str
    kind: DeliveryKind
    target: str
    namespace: Namespace
    function: str
    function_arn: str
    request_id: str
    trace_id: str
    body: bytes
    created: float
    attributes: Mapping[str, str] = field(default_factory=dict)


def destination_record(
    event: Event, condition: Condition, invoke_count: int, last: LastAttempt | None, now: float
) -> bytes:
    """The record, as JSON text. last: None, or one that did not run, leaves its two members out."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": _timestamp(now),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": event.arn,
            "condition": condition.value,
            "approximateInvokeCount": invoke_count,
        },
        "requestPayload": orjson.Fragment(event.payload),
    }
    if last is not None and last.executed_version is not None:
        context: dict[str, object] = {"statusCode": last.status, "executedVersion": last.executed_version}
        if last.function_error is not None:
            context["functionError"] = last.function_error
        record["responseContext"] = context
        record["responsePayload"] = _json(last.payload)
    return orjson.dumps(record)


def dead_letter_attributes(event: Event, condition: Condition, last: LastAttempt | None) -> dict[str, str]:
    """Message attributes; ErrorCode is a number as text."""
    status = 429 if last is None else last.status
    text = condition.value if last is None or not last.error_message else last.error_message
    shortened = text.encode()[:ERROR_MESSAGE_MAX].decode(errors="ignore")
    return {"RequestID": event.request_id, "ErrorCode": str(status), "ErrorMessage": shortened}


def delivery(
    kind: DeliveryKind, target: str, event: Event, body: bytes, now: float, attributes: Mapping[str, str] | None = None
) -> Delivery:
    """Of `event` to `target`."""
    return Delivery(
        id=f"{event.request_id}/{kind}",
        kind=kind,
        target=target,
        namespace=event.namespace,
        function=event.function,
        function_arn=event.arn,
        request_id=event.request_id,
        trace_id=event.trace_id,
        body=body,
        created=now,
        attributes=attributes or {},
    )


def encode_delivery(sent: Delivery) -> Message:
    meta = {
        "kind": sent.kind,
        "function": sent.function,
        "function_arn": sent.function_arn,
        "request_id": sent.request_id,
        "trace_id": sent.trace_id,
        "created": sent.created,
        "attributes": sent.attributes,
    }
    space = sent.namespace
    return Message(
        lane="delivery",
        id=sent.id,
        scope=f"{space.account}/{space.region}/{sent.target}",
        meta=orjson.dumps(meta).decode(),
        payload=sent.body,
        accepted=sent.created,
    )


def decode_delivery(message: Message) -> Delivery:
    account, region, target = message.scope.split("/", 2)
    return Delivery(
        id=message.id,
        target=target,
        namespace=Namespace(account, region),
        body=message.payload,
        **orjson.loads(message.meta),
    )


def _timestamp(now: float) -> str:
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _json(text: str | None) -> object:
    """A function may answer with what is not JSON: then it stands as a string."""
    if text is None:
        return None
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text)
