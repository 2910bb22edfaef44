"""InvokeAsync, the operation that AWS replaced by Invoke with the type Event in 2014: clients still send it.

Source: InvokeAsync, AWS Lambda API reference. It names no qualifier, answers 202 and repeats that in its body.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import orjson

from lambdad.frontend.interface import Acceptor, Resolver
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError, invalid_request_content, too_large
from lambdad.model.invocation import Invocation
from lambdad.model.limits import PAYLOAD_ASYNC_MAX


async def invoke_async(
    resolver: Resolver,
    acceptor: Acceptor,
    namespace: Namespace,
    request_id: str,
    parameters: Mapping[str, Any],
    trace_id: str,
) -> Mapping[str, Any]:
    """Accept one event. parameters: of the service model. trace_id: as of `Invocation`. Raises `ApiError`."""
    payload: bytes = parameters.get("InvokeArgs") or b"{}"
    if len(payload) > PAYLOAD_ASYNC_MAX:
        raise too_large(f"Request must be smaller than {PAYLOAD_ASYNC_MAX} bytes for the InvokeFunction operation")
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise invalid_request_content(f"Could not parse request body into json: {error}") from None
    target = resolver.resolve(namespace, parameters["FunctionName"], None, random.random())  # noqa: S311
    invocation = Invocation(request_id=request_id, payload=payload, invoked_arn=target.invoked_arn, trace_id=trace_id)
    accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(error: ApiError | None) -> None:
        if accepted.done():
            return
        if error is None:
            accepted.set_result(None)
        else:
            accepted.set_exception(error)

    acceptor.accept(target, invocation, done)
    await accepted
    return {"Status": 202}
