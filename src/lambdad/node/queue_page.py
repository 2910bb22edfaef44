"""The queue of asynchronous invocation, for people: what `lambdad queue` shows and changes.

GET  /_lambdad/queue                                    the caller's own, counted by lane and state
GET  /_lambdad/queue/messages?state=waiting|dead&function=NAME[:QUALIFIER]&lane=event|delivery&id=ID&limit=N
GET  /_lambdad/queue/messages/ID                        one message, its payload and its last attempt included
POST /_lambdad/queue/redrive?function=NAME&lane=...&id=ID         the dead wait again
POST /_lambdad/queue/purge?state=waiting|dead&function=NAME&...   forget messages

A caller sees and changes what belongs to its own account and region. Answers are JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from lambdad.events.event import scope_of
from lambdad.events.service import EventService
from lambdad.model.arn import Namespace, parse_function_reference
from lambdad.store.event_queue import Entry, Lane, Selection
from lambdad.telemetry.log import Logger
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

PATH = "/_lambdad/queue"
PREFIX = "/_lambdad/queue/"
LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
STATES = ("waiting", "dead")

_JSON = ("Content-Type", "application/json")
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class PageError(Exception):
    """What the caller did wrong."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class QueuePage:
    """Serves `PATH` and everything under `PREFIX`, to each account its own."""

    def __init__(self, events: EventService, spawn: Spawn, log: Logger) -> None:
        self._events = events
        self._spawn = spawn
        self._log = log

    def __call__(self, request: Request, here: Namespace, responder: Responder) -> None:
        self._spawn(self._serve(request, here, responder))

    async def _serve(self, request: Request, here: Namespace, responder: Responder) -> None:
        try:
            status, document = 200, await self._answer(request, here)
        except PageError as error:
            status, document = error.status, {"message": str(error)}
        except Exception as error:
            self._log.exception("request.failed", error, method=request.method, path=request.path)
            status, document = 500, {"message": "An error of lambdad itself; its log tells more."}
        responder.send(Response(status, [_JSON], orjson.dumps(document) + b"\n"))

    async def _answer(self, request: Request, namespace: Namespace) -> Mapping[str, Any]:
        query = {name: values[-1] for name, values in parse_qs(request.query, max_num_fields=16).items()}
        rest = request.path.removeprefix(PATH)
        match request.method, rest:
            case "GET", "" | "/":
                usage = await self._events.usage(_scope_prefix(namespace))
                return {lane: dataclasses.asdict(counted) for lane, counted in usage.items()}
            case "GET", "/messages":
                return await self._list(namespace, query)
            case "GET", _ if rest.startswith("/messages/"):
                return await self._show(namespace, unquote(rest.removeprefix("/messages/")))
            case "POST", "/redrive":
                return {"redriven": await self._events.redrive(_selection(namespace, query))}
            case "POST", "/purge":
                selection = _selection(namespace, query)
                return {"purged": await self._events.purge(selection, dead=_state(query) == "dead")}
        raise PageError(404, f"{request.method} {request.path} is no page of the queue")

    async def _list(self, namespace: Namespace, query: Mapping[str, str]) -> Mapping[str, Any]:
        limit = query.get("limit", str(LIMIT_DEFAULT))
        if not limit.isdecimal() or not 1 <= int(limit) <= LIMIT_MAX:
            raise PageError(400, f"limit must be between 1 and {LIMIT_MAX}")
        selection = _selection(namespace, query)
        entries = await self._events.entries(selection, int(limit), dead=_state(query) == "dead")
        return {"messages": [_describe(entry) for entry in entries]}

    async def _show(self, namespace: Namespace, message_id: str) -> Mapping[str, Any]:
        entry = await self._events.find(message_id)
        if entry is None or not entry.message.scope.startswith(_scope_prefix(namespace)):
            raise PageError(404, f"no message {message_id} in the queue: it has ended, or never was")
        return {
            **_describe(entry),
            "last": _text(entry.message.last),
            "payload": _text(entry.message.payload),
        }


def _selection(namespace: Namespace, query: Mapping[str, str]) -> Selection:
    lane = query.get("lane") or None
    if lane not in (None, "event", "delivery"):
        raise PageError(400, "lane must be event or delivery")
    chosen: Lane | None = "event" if lane == "event" else "delivery" if lane == "delivery" else None
    prefix = _scope_prefix(namespace)
    scope = None
    if function := query.get("function"):
        reference = parse_function_reference(function)
        if reference is None:
            raise PageError(400, f"{function} is no name of a function")
        chosen = "event"
        if reference.qualifier is None:
            prefix = f"{prefix}{reference.name}:"
        else:
            scope = scope_of(namespace, reference.name, reference.qualifier)
    return Selection(lane=chosen, scope=scope, scope_prefix=prefix, id=query.get("id") or None)


def _state(query: Mapping[str, str]) -> str:
    state = query.get("state") or "waiting"
    if state not in STATES:
        raise PageError(400, f"state must be one of {', '.join(STATES)}")
    return state


def _scope_prefix(namespace: Namespace) -> str:
    return f"{namespace.account}/{namespace.region}/"


def _describe(entry: Entry) -> dict[str, Any]:
    message = entry.message
    *_, name = message.scope.split("/", 2)
    return {
        "lane": message.lane,
        "id": message.id,
        "target": name.rstrip(":") if message.lane == "event" else name,
        "state": "dead" if entry.reason is not None else "leased" if entry.leased else "waiting",
        "accepted": message.accepted,
        "due": entry.due,
        "attempts": message.attempts,
        "refusals": message.refusals,
        "size": entry.size,
        "reason": entry.reason,
        "died": entry.died,
    }


def _text(data: bytes) -> str | None:
    return data.decode(errors="replace") if data else None
