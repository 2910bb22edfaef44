"""Which neighbour a request is for, and its answer: CloudWatch Logs by `X-Amz-Target`, STS and IAM by their forms.

All of them are POST / on the node's own port; the Lambda API has no such path.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError
from lambdad.neighbours import iam_policies, iam_roles, query_protocol
from lambdad.neighbours.json_protocol import Input, JsonError, answer, failure
from lambdad.neighbours.live_tail import LiveTail
from lambdad.neighbours.log_changes import LogsChangeOperations
from lambdad.neighbours.logs import LogsReadOperations
from lambdad.neighbours.query_protocol import IAM, Identified, form_error, read_form
from lambdad.neighbours.sts import CALLER_IDENTITY, caller_identity
from lambdad.store.metadata import Store
from lambdad.telemetry.log import Logger
from lambdad.telemetry.log_groups import LogGroups
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

LOGS_TARGET = "Logs_20140328."
_EVENT_STREAM = "application/vnd.amazon.eventstream"
_VERSIONS = {"2010-05-08": "IAM", "2011-06-15": "STS"}
"""Of the query protocol: whom a form with an Action is for."""
_READING = {**iam_roles.READING, **iam_policies.READING}
_CHANGING = {**iam_roles.CHANGING, **iam_policies.CHANGING}


class Doorkeeper(Protocol):
    """Who calls, and whether they may. Every method raises `ApiError`."""

    def identify(self, request: Request) -> Identified:
        """Of STS and IAM: everybody may know who they are."""
        ...

    def admit_logs(self, request: Request, operation: str) -> Namespace:
        """Of CloudWatch Logs. operation: such as `FilterLogEvents`."""
        ...


class Neighbours:
    """The neighbours of one node. clock: epoch seconds."""

    def __init__(
        self,
        logs: LogGroups,
        store: Store,
        doorkeeper: Doorkeeper,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        log: Logger,
        clock: Callable[[], float],
    ) -> None:
        self._logs = {
            **LogsReadOperations(logs, clock).operations,
            **LogsChangeOperations(logs, clock).operations,
        }
        self._store = store
        self._clock = clock
        self._live_tail = LiveTail(logs, clock)
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
        form = read_form(request)
        if "Action" not in form or form.get("Version") not in _VERSIONS:
            return False
        self._spawn(self._serve_form(form, request, responder))
        return True

    async def _serve_form(self, form: Mapping[str, str], request: Request, responder: Responder) -> None:
        try:
            response = await self._answer_form(form, request)
        except ApiError as error:
            response = form_error(error.code, error.message, error.status)
        except Exception as error:
            self._log.exception("request.failed", error, operation=form["Action"][:64])
            response = form_error("ServiceFailure", "It cannot be done now; the log of lambdad tells more.", 500)
        responder.send(response)

    async def _answer_form(self, form: Mapping[str, str], request: Request) -> Response:
        action = form["Action"]
        if action == CALLER_IDENTITY:
            return caller_identity(self._doorkeeper.identify(request))
        work = _READING.get(action) or _CHANGING.get(action)
        if work is None:
            service = _VERSIONS[form["Version"]]
            raise ApiError("InvalidAction", 400, f"lambdad has no {action[:64]} of {service}.")
        account, now = self._doorkeeper.identify(request).account, self._clock()
        transact = self._store.read if action in _READING else self._store.write
        result = await transact(lambda transaction: work(transaction, account, form, now))
        return query_protocol.answer(action, IAM, result)

    async def _serve_logs(self, name: str, request: Request, responder: Responder) -> None:
        request_id = str(uuid.uuid4())
        try:
            response = await self._answer_logs(name, request, request_id)
        except JsonError as error:
            response = failure(error, request_id)
        except ApiError as error:
            response = failure(JsonError(error.code, error.message), request_id)
            response.status = error.status
        except Exception as error:
            self._log.exception("request.failed", error, request_id=request_id, operation=name[:64])
            text = "The logs cannot be read or written now; the log of lambdad tells more."
            response = failure(JsonError("ServiceUnavailableException", text), request_id)
            response.status = 500
        responder.send(response)

    async def _answer_logs(self, name: str, request: Request, request_id: str) -> Response:
        namespace = self._doorkeeper.admit_logs(request, name)
        if name == "StartLiveTail":
            stream = await self._live_tail.start(namespace, Input(request.body))
            return Response(200, [("Content-Type", _EVENT_STREAM), ("x-amzn-RequestId", request_id)], stream=stream)
        operation = self._logs.get(name)
        if operation is None:
            known = ", ".join([*self._logs, "StartLiveTail"])
            raise JsonError("InvalidOperationException", f"lambdad has no {name[:64]} of CloudWatch Logs, but {known}.")
        return answer(await asyncio.to_thread(operation, namespace, Input(request.body)), request_id)
