"""Which neighbour a request is for, and its answer: CloudWatch Logs by `X-Amz-Target`, STS by its form.

All of them are POST / on the node's own port; the Lambda API has no such path.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from lambdad.neighbours.json_protocol import Input, JsonError, answer, failure
from lambdad.neighbours.logs import LogsOperations
from lambdad.telemetry.log import Logger
from lambdad.telemetry.log_store import LogStore
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder
from lambdad.wire.sigv4 import namespace_of

LOGS_TARGET = "Logs_20140328."
FORM_MAX = 64 * 1024


class Neighbours:
    """region: for callers whose credentials name none."""

    def __init__(
        self, logs: LogStore, region: str, spawn: Callable[[Coroutine[Any, Any, None]], None], log: Logger
    ) -> None:
        self._logs = LogsOperations(logs)
        self._region = region
        self._spawn = spawn
        self._log = log

    def serve(self, request: Request, responder: Responder) -> bool:
        """Answer, now or later, if the request is for a neighbour; False if it is not."""
        if request.method != "POST" or request.path != "/":
            return False
        target = request.headers.get("x-amz-target", "")
        if target.startswith(LOGS_TARGET):
            self._spawn(self._serve_logs(target.removeprefix(LOGS_TARGET), request, responder))
            return True
        if _action(request) == "GetCallerIdentity":
            responder.send(_caller_identity(namespace_of(request.headers, request.query, self._region).account))
            return True
        return False

    async def _serve_logs(self, name: str, request: Request, responder: Responder) -> None:
        request_id = str(uuid.uuid4())
        try:
            operation = self._logs.operations.get(name)
            if operation is None:
                text = f"lambdad has no {name[:64]}: the logs of functions can be read, not written."
                raise JsonError("InvalidOperationException", text)
            namespace = namespace_of(request.headers, request.query, self._region)
            shape = await asyncio.to_thread(operation, namespace, Input(request.body))
            response = answer(shape, request_id)
        except JsonError as error:
            response = failure(error, request_id)
        except Exception as error:
            self._log.exception("request.failed", error, request_id=request_id, operation=name[:64])
            response = failure(JsonError("ServiceUnavailableException", "The logs cannot be read now."), request_id)
            response.status = 500
        responder.send(response)


def _action(request: Request) -> str:
    """The `Action` of the query protocol; empty if the body is no such form."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if not is_form or len(request.body) > FORM_MAX:
        return ""
    try:
        return parse_qs(request.body.decode("ascii"), max_num_fields=64).get("Action", [""])[0]
    except ValueError:
        return ""


def _caller_identity(account: str) -> Response:
    """The root user of the account, whatever the credentials."""
    account = escape(account)
    text = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>arn:aws:iam::{account}:root</Arn><UserId>{account}</UserId><Account>{account}</Account>"
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )
    return Response(200, [("Content-Type", "text/xml")], text.encode())
