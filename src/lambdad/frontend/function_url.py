"""Function URLs: any HTTP request in, an invocation for placement, the function's HTTP response out.

A URL is known by its id, which stands in the host name (`<id>.lambda-url.<region>.<anything>`) or, for clients that
cannot choose the host, in the path (`/_url/<id>/…`). What events and responses look like is `wire.function_url`'s.
Who may call is a `Doorkeeper`'s to say.
Source: "Invoking Lambda function URLs", AWS Lambda Developer Guide; reference/aws-lambda.md 6.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import orjson

from lambdad.frontend.desk import Desk
from lambdad.frontend.trace import new_trace_id
from lambdad.frontend.url_stream import UrlStream
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError, too_large
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import PAYLOAD_SYNC_MAX
from lambdad.model.settings import FunctionUrl
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.wire.cors import add_cors_headers, answer_preflight, is_preflight
from lambdad.wire.function_url import (
    IamCaller,
    UrlContext,
    build_event,
    build_response,
    forbidden,
    function_failed,
    unknown_url,
)
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

PATH_PREFIX = "/_url/"
HOST_MARK = ".lambda-url."

_HTTP_PORT = 80


class UrlDirectory(Protocol):
    """Ids of URLs to names."""

    def url(self, identity: str) -> tuple[Namespace, str, str | None, FunctionUrl] | None:
        """Namespace, function name, alias (None for the function itself) and configuration."""
        ...


class Doorkeeper(Protocol):
    """Who may call a URL."""

    def admit(
        self, request: Request, namespace: Namespace, function: str, alias: str | None, auth_type: str
    ) -> IamCaller | None:
        """Who calls, None if the URL does not want to know. request: as it was signed. Raises `ApiError` 403."""
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    """One request for a URL that exists. signed: the request as it came; `request`: as the function sees it."""

    request: Request
    signed: Request
    request_id: str
    trace_id: str
    namespace: Namespace
    function: str
    url: FunctionUrl


class FunctionUrlFrontend:
    """Answers requests for function URLs."""

    def __init__(self, desk: Desk, urls: UrlDirectory, doorkeeper: Doorkeeper) -> None:
        self._desk = desk
        self._urls = urls
        self._doorkeeper = doorkeeper

    def serve_host(self, request: Request, request_id: str, responder: Responder) -> None:
        """A request whose host name is that of a URL."""
        self._serve(request, request, request.headers["host"].partition(".")[0].lower(), request_id, responder)

    def serve_path(self, request: Request, request_id: str, responder: Responder) -> None:
        """A request whose path begins with PATH_PREFIX: the function sees it as it would under its host name."""
        identity, slash, rest = request.path.removeprefix(PATH_PREFIX).partition("/")
        found = self._urls.url(identity)
        region = "" if found is None else found[0].region
        headers = {**request.headers, "host": f"{identity}{HOST_MARK}{region}.localhost"}
        seen = replace(request, path=slash + rest, headers=headers)
        self._serve(seen, request, identity, request_id, responder)

    def _serve(self, request: Request, signed: Request, identity: str, request_id: str, responder: Responder) -> None:
        found = self._urls.url(identity)
        if found is None:
            responder.send(unknown_url(request_id))
            return
        namespace, function, alias, url = found
        if url.cors is not None and is_preflight(request):
            responder.send(answer_preflight(url.cors, request))
            return
        trace_id = request.headers.get("x-amzn-trace-id") or new_trace_id(self._desk.clock.time())
        call = _Call(request, signed, request_id, trace_id, namespace, function, url)
        try:
            self._invoke(call, alias, responder)
        except ApiError as error:
            self._reject(call, error, responder)

    def _invoke(self, call: _Call, alias: str | None, responder: Responder) -> None:
        caller = self._doorkeeper.admit(call.signed, call.namespace, call.function, alias, call.url.auth_type)
        target = self._resolve(call, alias)
        event = build_event(call.request, _context(call, caller), now=self._desk.clock.time())
        if call.url.invoke_mode == "RESPONSE_STREAM":
            self._run_streaming(call, target, event, responder)
        else:
            self._run_buffered(call, target, event, responder)

    def _run_buffered(self, call: _Call, target: Target, event: bytes, responder: Responder) -> None:
        def done(ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
            if isinstance(outcome, ApiError):
                self._reject(call, outcome, responder)
                return
            if outcome.error is not None:
                response = function_failed(call.request_id)
            else:
                response = build_response(outcome.payload, call.request_id)
            responder.send(_complete(call, response))
            self._desk.observe(ticket, outcome)

        invocation = Invocation(
            request_id=call.request_id, payload=event, invoked_arn=target.invoked_arn, trace_id=call.trace_id
        )
        self._desk.run(target, invocation, done)

    def _run_streaming(self, call: _Call, target: Target, event: bytes, responder: Responder) -> None:
        finish = partial(_complete, call)
        stream = UrlStream(call.request_id, responder, finish, self._desk.pace)

        def done(ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
            if isinstance(outcome, InvocationResult):
                stream.complete(outcome)
                self._desk.observe(ticket, outcome)
            elif stream.is_open:
                self._desk.observer.rejected(call.namespace, call.function, outcome)
                stream.break_off()
            else:
                self._reject(call, outcome, responder)

        invocation = Invocation(
            request_id=call.request_id,
            payload=event,
            invoked_arn=target.invoked_arn,
            trace_id=call.trace_id,
            streaming=True,
        )
        self._desk.run(target, invocation, done, stream)

    def _resolve(self, call: _Call, alias: str | None) -> Target:
        if call.request.overflow or len(call.request.body) > PAYLOAD_SYNC_MAX:
            raise too_large(f"Request must be smaller than {PAYLOAD_SYNC_MAX} bytes for the InvokeFunction operation")
        try:
            return self._desk.resolver.resolve(call.namespace, call.function, alias, random.random())  # noqa: S311
        except ApiError as error:
            if error.status == 404:  # the alias is gone: AWS does not tell strangers what exists
                raise forbidden() from None
            raise

    def _reject(self, call: _Call, error: ApiError, responder: Responder) -> None:
        self._desk.observer.rejected(call.namespace, call.function, error)
        response = self._desk.write_error(error, call.request_id)
        if error.status == 403:
            response.body = orjson.dumps({"Message": error.message})  # the one error without a `Type`
        responder.send(_complete(call, response))


def _context(call: _Call, caller: IamCaller | None) -> UrlContext:
    host, _, port = call.request.headers.get("host", "").partition(":")
    return UrlContext(
        url_id=call.url.id,
        domain_name=host,
        request_id=call.request_id,
        source_ip=call.request.peer,
        trace_id=call.trace_id,
        scheme="http",
        port=int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else _HTTP_PORT,
        caller=caller,
    )


def _complete(call: _Call, response: Response) -> Response:
    """With the headers that every answer of a URL has."""
    headers = [*response.headers, ("X-Amzn-Trace-Id", call.trace_id)]
    cors = call.url.cors
    return replace(response, headers=headers if cors is None else add_cors_headers(cors, call.request.headers, headers))


def is_url_host(headers: Mapping[str, str]) -> bool:
    """Whether a request's host name is that of a function URL."""
    return HOST_MARK in headers.get("host", "")
