"""InvokeAsync."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from lambdad.frontend.interface import AcceptDone, Target
from lambdad.frontend.invoke_async import invoke_async
from lambdad.model.errors import ApiError, service_error
from lambdad.model.invocation import Invocation
from lambdad.model.limits import PAYLOAD_ASYNC_MAX
from lambdad.testing.event_doubles import FakeFunctions
from lambdad.testing.specs import HERE


class Acceptor:
    def __init__(self, error: ApiError | None = None) -> None:
        self.error = error
        self.accepted: list[Invocation] = []

    def accept(self, target: Target, invocation: Invocation, done: AcceptDone) -> None:
        self.accepted.append(invocation)
        done(self.error)


def call(acceptor: Acceptor, **parameters: Any) -> Mapping[str, Any]:
    named = {"FunctionName": "f", **parameters}
    return asyncio.run(invoke_async(FakeFunctions(), acceptor, HERE, "r-1", named, "Root=1-2-3"))


def test_an_event_is_accepted_with_the_requests_id() -> None:
    acceptor = Acceptor()
    assert call(acceptor, InvokeArgs=b"[1]") == {"Status": 202}
    assert [(found.request_id, found.payload, found.trace_id) for found in acceptor.accepted] == [
        ("r-1", b"[1]", "Root=1-2-3")
    ]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"InvokeArgs": b"{"}, "InvalidRequestContentException"),
        ({"InvokeArgs": b" " * (PAYLOAD_ASYNC_MAX + 1)}, "RequestEntityTooLargeException"),
        ({"FunctionName": "nobody"}, "ResourceNotFoundException"),
    ],
)
def test_what_cannot_be_accepted_is_refused(parameters: dict[str, Any], code: str) -> None:
    acceptor = Acceptor()
    with pytest.raises(ApiError) as caught:
        call(acceptor, **parameters)
    assert (caught.value.code, acceptor.accepted) == (code, [])


def test_an_event_that_could_not_be_written_is_an_error() -> None:
    with pytest.raises(ApiError, match="disk"):
        call(Acceptor(service_error("disk")))
