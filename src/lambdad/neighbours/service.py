"""Which neighbour a request is for, and its answer: CloudWatch Logs by `X-Amz-Target`, STS by its form.

All of them are POST / on the node's own port; the Lambda API has no such path.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError
from lambdad.neighbours.json_protocol import Input, JsonError, answer, failure
from lambdad.neighbours.logs import LogsOperations
from lambdad.telemetry.log import Logger
from lambdad.telemetry.log_store import LogStore
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

LOGS_TARGET = "Logs_20140328."
FORM_MAX = 64 * 1024


class Doorkeeper(Protocol):
    """Who calls, and whether they may. Every method raises `ApiError`."""

    def identify(self, request: Request) -> Identified:
        """Of STS: everybody may know who they are."""
        ...

    def admit_logs(self, request: Request, operation: str) -> Namespace:
        """Of CloudWatch Logs. operation: such as `FilterLogEvents`."""
        ...


@dataclass(frozen=True, slots=True)
class Identified:
    """account: 12 digits. user_id: as STS shows it."""

    account: str
    arn: str
    user_id: str


class Neighbours:
    """The neighbours of one node."""

    def __init__(
        self, logs: LogStore, doorkeeper: Doorkeeper, spawn: Callable[[Coroutine[Any, Any, None]], None], log: Logger
    ) -> None:
        self._logs = LogsOperations(logs)
        self._doorkeeper = doorkeeper
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
            try:
                responder.send(_caller_identity(self._doorkeeper.identify(request)))
            except ApiError as error:
                responder.send(_form_error(error))
            return True
        return False

    async def _serve_logs(self, name: str, request: Request, responder: Responder) -> None:
        request_id = str(uuid.uuid4())
        try:
            operation = self._logs.operations.get(name)
            if operation is None:
                text = f"lambdad has no {name[:64]}: the logs of functions can be read, not written."
                raise JsonError("InvalidOperationException", text)
            namespace = self._doorkeeper.admit_logs(request, name)
            shape = await asyncio.to_thread(operation, namespace, Input(request.body))
            response = answer(shape, request_id)
        except JsonError as error:
            response = failure(error, request_id)
        except ApiError as error:
            response = failure(JsonError(error.code, error.message), request_id)
            response.status = error.status
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


def _caller_identity(caller: Identified) -> Response:
    arn, user_id, account = (escape(text) for text in (caller.arn, caller.user_id, caller.account))
    text = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>{arn}</Arn><UserId>{user_id}</UserId><Account>{account}</Account>"
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )
    return Response(200, [("Content-Type", "text/xml")], text.encode())


def _form_error(error: ApiError) -> Response:
    """An error in the form of AWS's query protocol."""
    text = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Response(error.status, [("Content-Type", "text/xml")], text.encode())
