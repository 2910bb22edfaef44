"""The Extensions API of one sandbox, and the subscriptions of the Telemetry and Logs APIs: HTTP in, events out.

Everything inside a sandbox reaches the same listener, so an extension is who holds its identifier, as on AWS; what one
may do with it stays in its own sandbox. Delivering telemetry is not done here.
Source: "Lambda Extensions API" and "Lambda Telemetry API", AWS Lambda Developer Guide; texts as in
reference/aws-lambda.md 3.3 and 3.4.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from lambdad.model.invocation import Invocation
from lambdad.runtime_api.extension_state import INVOKE, SHUTDOWN, Extension, Extensions, Refusal, State
from lambdad.telemetry.subscription import InvalidSubscription, Subscription, parse_subscription
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

ERROR_TYPE_MAX = 256
"""Characters of an extension's own error type that are kept."""

_PREFIX = "/2020-01-01/extension/"
_TELEMETRY = "/2022-07-01/telemetry"
_LOGS = "/2020-08-15/logs"
_JSON = ("Content-Type", "application/json")
_ACCEPTED = Response(202, [_JSON], b'{"status":"OK"}\n')
_NOT_FOUND = Response(404, [("Content-Type", "text/plain")], b"404 page not found\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionIdentity:
    """What an extension is told about the function when it registers."""

    name: str
    version: str
    handler: str
    account: str


class ExtensionEvents(Protocol):
    """What the owner of a sandbox hears from its extensions."""

    def registered(self, extension: Extension) -> None: ...

    def waits(self, extension: Extension) -> None:
        """It has called `next`, and no event is there for it."""
        ...

    def reported_error(self, extension: Extension) -> None:
        """It has said that it cannot go on; its state tells whether it was in its init phase."""
        ...

    def subscribed(self, extension: Extension, subscription: Subscription) -> None: ...


class ExtensionsApi:
    """Answers the calls of one sandbox's extensions. `handle` takes what the Runtime API does not know."""

    def __init__(self, function: FunctionIdentity, events: ExtensionEvents, extensions: Extensions) -> None:
        self.extensions = extensions
        self._function = function
        self._events = events
        self._waiting: dict[str, Responder] = {}
        """By identifier: where the answer to a `next` goes."""
        self._telemetry_api: str | None = None
        """Which of the two APIs the first subscription used: the other is then closed."""
        self._is_shutting_down = False
        self._subscriptions_closed = False
        self._routes: Mapping[tuple[str, str], Callable[[Request, Responder], None]] = {
            ("POST", _PREFIX + "register"): self._register,
            ("GET", _PREFIX + "event/next"): self._next,
            ("POST", _PREFIX + "init/error"): self._init_error,
            ("POST", _PREFIX + "exit/error"): self._exit_error,
            ("PUT", _TELEMETRY): self._subscribe,
            ("PUT", _LOGS): self._subscribe,
        }

    # -- asked by the platform

    def close(self) -> None:
        """The init phase is over: nobody subscribes to telemetry any more."""
        self._subscriptions_closed = True

    def invoke(self, invocation: Invocation, deadline_ms: int) -> None:
        """Tell those who asked for it that an invocation begins. deadline_ms: milliseconds since the epoch."""
        event = {
            "eventType": INVOKE,
            "deadlineMs": deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.invoked_arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": invocation.trace_id},
        }
        for extension in self.extensions.subscribers(INVOKE):
            self._send(extension, event)

    def shut_down(self, reason: str, deadline_ms: int) -> None:
        """Tell those who asked for it that the sandbox will end. reason: `spindown`, `timeout` or `failure`.

        Whoever is busy now is told by its following `next`.
        """
        self._is_shutting_down = True
        self._shutdown = {"eventType": SHUTDOWN, "shutdownReason": reason, "deadlineMs": deadline_ms}
        for extension in self.extensions.subscribers(SHUTDOWN):
            if extension.state is State.READY:
                self._send(extension, self._shutdown)

    # -- called by extensions

    def handle(self, request: Request, responder: Responder) -> None:
        route = self._routes.get((request.method, request.path.removesuffix("/")))
        if route is None:
            responder.send(_NOT_FOUND)
            return
        try:
            route(request, responder)
        except Refusal as refusal:
            responder.send(_refusal(403, refusal.error_type, str(refusal)))

    def _register(self, request: Request, responder: Responder) -> None:
        name = request.headers.get("lambda-extension-name", "")
        extension = self.extensions.register(name, _events(request) if name else [])
        function = self._function
        body = {"functionName": function.name, "functionVersion": function.version, "handler": function.handler}
        if "accountId" in {word.strip() for word in request.headers.get(_FEATURE, "").split(",")}:
            body["accountId"] = function.account
        headers = [_JSON, ("Lambda-Extension-Identifier", extension.identifier)]
        responder.send(Response(200, headers, orjson.dumps(body)))
        self._events.registered(extension)

    def _next(self, request: Request, responder: Responder) -> None:
        extension = self._find(request)
        earlier = self._waiting.get(extension.identifier)
        self.extensions.ready(extension, lost_connection=earlier is None or earlier.gone)
        self._waiting[extension.identifier] = responder
        if self._is_shutting_down and extension.takes(SHUTDOWN):
            self._send(extension, self._shutdown)
        else:
            self._events.waits(extension)

    def _init_error(self, request: Request, responder: Responder) -> None:
        extension = self._find(request)
        is_news = self.extensions.init_error(extension, _error_type(request))
        responder.send(_ACCEPTED)
        if is_news:
            self._events.reported_error(extension)

    def _exit_error(self, request: Request, responder: Responder) -> None:
        extension = self._find(request)
        is_news = self.extensions.exit_error(extension, _error_type(request))
        responder.send(_ACCEPTED)
        if is_news:
            self._events.reported_error(extension)

    def _subscribe(self, request: Request, responder: Responder) -> None:
        extension = self._find(request)
        path = request.path.removesuffix("/")
        api = "Telemetry" if path == _TELEMETRY else "Logs"
        if self._subscriptions_closed:
            raise Refusal(f"{api}.SubscriptionClosed", f"{api} API subscription is closed already")
        if self._telemetry_api not in (None, path):
            other = "Logs" if api == "Telemetry" else "Telemetry"
            raise Refusal(
                f"{api}.SubscriptionClosed", f"The {other} API is in use: the {api} API cannot be used beside it"
            )
        try:
            subscription = parse_subscription(request.body, is_logs_api=api == "Logs")
        except InvalidSubscription as error:
            responder.send(_refusal(400, f"{api}.ValidationError", str(error)))
            return
        self._telemetry_api = path
        responder.send(Response(200, [_JSON], b'"OK"'))
        self._events.subscribed(extension, subscription)

    def _find(self, request: Request) -> Extension:
        return self.extensions.find(request.headers.get("lambda-extension-identifier"))

    def _send(self, extension: Extension, event: Mapping[str, Any]) -> None:
        if extension.state is not State.READY:
            return  # it still has its last event: it was late, or lost its way
        self.extensions.release(extension)
        headers = [_JSON, ("Lambda-Extension-Event-Identifier", str(uuid.uuid4()))]
        self._waiting.pop(extension.identifier).send(Response(200, headers, orjson.dumps(event)))


_FEATURE = "lambda-extension-accept-feature"


def _events(request: Request) -> list[object]:
    """The events that a registration asks for; none if its body names none."""
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refusal("InvalidRequestFormat", f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal("InvalidRequestFormat", "The body must be a JSON object")
    if body.get("configurationKeys"):
        raise Refusal("InvalidRequestFormat", "configurationKeys are deprecated; use environment variables instead")
    events = body.get("events") or []
    if not isinstance(events, list):
        raise Refusal("InvalidRequestFormat", "events must be a list")
    return events


def _error_type(request: Request) -> str:
    named = request.headers.get("lambda-extension-function-error-type", "")
    if not named:
        raise Refusal("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
    return named[:ERROR_TYPE_MAX]


def _refusal(status: int, error_type: str, message: str) -> Response:
    return Response(status, [_JSON], orjson.dumps({"errorMessage": message, "errorType": error_type}))
