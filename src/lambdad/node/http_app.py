"""The one HTTP handler of a node: which request goes to the frontend, to the control plane or to the node itself."""

from __future__ import annotations

import errno
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import unquote

from lambdad.frontend.function_url import PATH_PREFIX, FunctionUrlFrontend, is_url_host
from lambdad.frontend.invoke import InvokeFrontend
from lambdad.frontend.opening import read_qualifier
from lambdad.frontend.stream import StreamFrontend
from lambdad.identity.actions import INVOKE
from lambdad.identity.gate import Audience, Gate
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError, service_error
from lambdad.neighbours.service import Neighbours
from lambdad.telemetry.log import Logger
from lambdad.wire.http import Request, Response
from lambdad.wire.parse import parse_request
from lambdad.wire.route import Router
from lambdad.wire.serialize import serialize_error, serialize_response
from lambdad.wire.server import Responder
from lambdad.wire.service import LambdaService
from lambdad.wire.validate import validate_request

_FUNCTIONS = "/2015-03-31/functions/"
_INVOCATIONS = "/invocations"
_STREAMING_FUNCTIONS = "/2021-11-15/functions/"
_STREAMING_INVOCATIONS = "/response-streaming-invocations"
NODE_PREFIX = "/_lambdad/"

Operation = Callable[[Request, Namespace, str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""An operation of the control plane: request, who calls, request id, parsed parameters → output."""
Page = Callable[[Request, Namespace, Responder], None]
"""A page of the node itself: request, who calls."""
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class HttpApp:
    """`handle` is the handler of the node's `HttpServer`. pages: by path, or by prefix where that ends in a slash."""

    def __init__(
        self,
        service: LambdaService,
        frontend: InvokeFrontend,
        streams: StreamFrontend,
        urls: FunctionUrlFrontend,
        operations: Mapping[str, Operation],
        pages: Mapping[str, tuple[Audience, Page]],
        *,
        gate: Gate,
        neighbours: Neighbours,
        spawn: Spawn,
        log: Logger,
    ) -> None:
        self._service = service
        self._router = Router(service)
        self._frontend = frontend
        self._streams = streams
        self._urls = urls
        self._operations = operations
        self._pages = pages
        self._neighbours = neighbours
        self._gate = gate
        self._spawn = spawn
        self._log = log

    def handle(self, request: Request, responder: Responder) -> None:
        path = request.path
        if is_url_host(request.headers):  # first: behind such a name every path is the function's
            self._urls.serve_host(request, str(uuid.uuid4()), responder)
            return
        if path.startswith(_FUNCTIONS) and path.endswith(_INVOCATIONS) and request.method == "POST":
            label = path[len(_FUNCTIONS) : -len(_INVOCATIONS)]
            if label and "/" not in label:
                self._invoke(self._frontend, request, label, responder)
                return
        if path.startswith(_STREAMING_FUNCTIONS) and path.endswith(_STREAMING_INVOCATIONS) and request.method == "POST":
            label = path[len(_STREAMING_FUNCTIONS) : -len(_STREAMING_INVOCATIONS)]
            if label and "/" not in label:
                self._invoke(self._streams, request, label, responder)
                return
        if path.startswith(PATH_PREFIX):
            self._urls.serve_path(request, str(uuid.uuid4()), responder)
            return
        if path.startswith(NODE_PREFIX) or path == "/metrics":
            self._page(request, responder)
            return
        if path == "/" and self._neighbours.serve(request, responder):
            return
        self._spawn(self._control(request, responder))

    def _invoke(
        self, frontend: InvokeFrontend | StreamFrontend, request: Request, label: str, responder: Responder
    ) -> None:
        request_id = str(uuid.uuid4())
        try:
            caller = self._gate.authenticate(request)
            name = unquote(label) if "%" in label else label
            qualifier = read_qualifier(request.query) if request.query else None
            namespace = self._gate.authorize_invoke(caller, INVOKE, name, qualifier, request)
        except ApiError as error:
            responder.send(serialize_error(error, request_id))
            return
        frontend.invoke(request, namespace, label, request_id, responder)

    def _page(self, request: Request, responder: Responder) -> None:
        for prefix, (audience, page) in self._pages.items():
            if request.path == prefix or (prefix.endswith("/") and request.path.startswith(prefix)):
                try:
                    page(request, self._gate.admit(request, audience), responder)
                except ApiError as error:
                    responder.send(serialize_error(error, str(uuid.uuid4())))
                return
        known = ", ".join(self._pages)
        responder.send(Response(404, [("Content-Type", "text/plain")], f"No such page. There are: {known}\n".encode()))

    async def _control(self, request: Request, responder: Responder) -> None:
        request_id = str(uuid.uuid4())
        try:
            response = await self._answer(request, request_id)
        except ApiError as error:
            response = serialize_error(error, request_id)
        except Exception as error:
            self._log.exception(
                "request.failed", error, request_id=request_id, method=request.method, path=request.path
            )
            response = serialize_error(service_error(in_words(error)), request_id)
        responder.send(response)

    async def _answer(self, request: Request, request_id: str) -> Response:
        match = self._router.match(request.method, request.path, request.query)
        caller = self._gate.authenticate(request)
        operation = self._service.operations[match.operation_name]
        handler = self._operations.get(operation.name)
        if handler is None:
            raise ApiError(
                "InvalidParameterValueException",
                400,
                f"The operation {operation.name} is not supported by lambdad yet.",
            )
        parameters = parse_request(operation, match.labels, request.query, request.headers, request.body)
        validate_request(operation, parameters)
        namespace = self._gate.authorize_operation(caller, operation.name, parameters, request)
        output = await handler(request, namespace, request_id, parameters)
        return serialize_response(operation, output, request_id)


def in_words(error: Exception) -> str:
    """What a caller may know of an error that is not theirs."""
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            is_full = True
        case sqlite3.OperationalError():
            is_full = "full" in str(error)
        case _:
            is_full = False
    if is_full:
        return "The disk of lambdad's data directory is full: free some of it, and try again."
    return "An error of lambdad itself; its log tells more."
