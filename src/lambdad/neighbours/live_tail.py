"""StartLiveTail of CloudWatch Logs: what is written to up to ten groups from now on, as an event stream.

An update a second, empty or not, as AWS sends them; of more events than one holds, the first are shown and `sampled`
says so.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lambdad.model.arn import Namespace
from lambdad.neighbours.filter_pattern import Pattern, parse_pattern
from lambdad.neighbours.json_protocol import CONTENT_TYPE, Input, JsonError, invalid
from lambdad.neighbours.logs import group_arn, group_name, no_group
from lambdad.telemetry.log_groups import LogGroups, Reading
from lambdad.telemetry.log_reader import LogRecord
from lambdad.wire.eventstream import encode_exception, encode_message

GROUPS_MAX = 10
SESSIONS_MAX = 50
SESSION_S = 3 * 3600
UPDATE_EVENTS_MAX = 500
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a session shows. streams, prefixes: names of streams and their beginnings; none of both means all."""

    groups: tuple[str, ...]
    streams: tuple[str, ...]
    prefixes: tuple[str, ...]
    text: str
    pattern: Pattern

    def passes(self, record: LogRecord) -> bool:
        is_named = record.stream in self.streams or record.stream.startswith(self.prefixes)
        is_stream = is_named or not (self.streams or self.prefixes)
        return is_stream and self.pattern.matches(record.text)


class LiveTail:
    """The sessions. Belongs to one event loop. clock: epoch seconds. pause: awaited between two updates."""

    def __init__(
        self, logs: LogGroups, clock: Callable[[], float], pause: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._logs = logs
        self._clock = clock
        self._pause = pause or _pause
        self._sessions = 0

    async def start(self, namespace: Namespace, given: Input) -> AsyncIterator[bytes]:
        """Check the request; the stream that comes back must be iterated. Raises `JsonError`."""
        wanted = _wanted(given)
        for group in wanted.groups:
            if await asyncio.to_thread(self._logs.get, namespace, group) is None:
                raise no_group()
        if self._sessions >= SESSIONS_MAX:
            raise JsonError("LimitExceededException", f"There are {SESSIONS_MAX} live tail sessions: end one of them.")
        now_ms = int(self._clock() * 1000)
        readings = [(group, Reading(since_ms=now_ms)) for group in wanted.groups]
        for group, reading in readings:
            # What is there already is seen, not shown.
            await asyncio.to_thread(self._logs.news, namespace, group, reading)
        return self._stream(namespace, wanted, readings)

    async def _stream(
        self, namespace: Namespace, wanted: Wanted, readings: list[tuple[str, Reading]]
    ) -> AsyncIterator[bytes]:
        self._sessions += 1
        try:
            ends = self._clock() + SESSION_S
            yield _message("initial-response", {})
            yield _message("sessionStart", _session(namespace, wanted))
            while self._clock() < ends:
                await self._pause()
                found = []
                for group, reading in readings:
                    records = await asyncio.to_thread(self._logs.news, namespace, group, reading)
                    found += [_event(namespace, group, record) for record in records if wanted.passes(record)]
                shown = found[:UPDATE_EVENTS_MAX]
                update = {"sessionMetadata": {"sampled": len(found) > len(shown)}, "sessionResults": shown}
                yield _message("sessionUpdate", update)
            yield encode_exception("SessionTimeoutException", "The session has lasted three hours: start another.")
        finally:
            self._sessions -= 1


def _wanted(given: Input) -> Wanted:
    groups = tuple(dict.fromkeys(group_name(text) for text in given.texts("logGroupIdentifiers")))
    if not 1 <= len(groups) <= GROUPS_MAX:
        raise invalid(f"logGroupIdentifiers must name 1 to {GROUPS_MAX} log groups.")
    streams, prefixes = tuple(given.texts("logStreamNames")), tuple(given.texts("logStreamNamePrefixes"))
    if (streams or prefixes) and len(groups) > 1:
        raise invalid("Log streams can be named only if there is one log group.")
    if streams and prefixes:
        raise invalid("logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.")
    text = given.text("logEventFilterPattern") or ""
    try:
        pattern = parse_pattern(text)
    except ValueError as error:
        raise invalid(str(error)) from None
    return Wanted(groups=groups, streams=streams, prefixes=prefixes, text=text, pattern=pattern)


def _session(namespace: Namespace, wanted: Wanted) -> dict[str, Any]:
    return {
        "requestId": str(uuid.uuid4()),
        "sessionId": str(uuid.uuid4()),
        "logGroupIdentifiers": [group_arn(namespace, group) for group in wanted.groups],
        "logStreamNames": list(wanted.streams),
        "logStreamNamePrefixes": list(wanted.prefixes),
        "logEventFilterPattern": wanted.text,
    }


def _event(namespace: Namespace, group: str, record: LogRecord) -> dict[str, Any]:
    return {
        "logStreamName": record.stream,
        "logGroupIdentifier": f"{namespace.account}:{group}",
        "message": record.text,
        "timestamp": record.timestamp_ms,
        "ingestionTime": record.timestamp_ms,
    }


def _message(kind: str, payload: Mapping[str, Any]) -> bytes:
    headers = ((":message-type", "event"), (":event-type", kind), (":content-type", CONTENT_TYPE))
    return encode_message(headers, orjson.dumps(payload))


async def _pause() -> None:
    await asyncio.sleep(PAUSE_S)
