"""The function logs over HTTP: GET /_lambdad/logs/FUNCTION?since=MS&follow=0|1&qualifier=Q&request_id=ID.

One JSON object for each line: {"timestamp": ms, "stream": name, "message": text}. With `follow` the response does not
end until the client leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from urllib.parse import parse_qs, unquote

import orjson

from lambdad.model.arn import Namespace, parse_function_reference
from lambdad.telemetry.log_reader import LogRecord
from lambdad.telemetry.log_store import LogStore
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

PREFIX = "/_lambdad/logs/"
FOLLOW_PAUSE_S = 0.25
RECORDS_MAX = 100_000
"""What one request without `follow` returns at most; the oldest come first."""
BATCH = 500

_NDJSON = ("Content-Type", "application/x-ndjson")


class LogPage:
    """Serves the logs of functions, to their own account. log_group: of a function."""

    def __init__(self, logs: LogStore, log_group: Callable[[Namespace, str], str]) -> None:
        self._logs = logs
        self._log_group = log_group

    def __call__(self, request: Request, here: Namespace, responder: Responder) -> None:
        reference = parse_function_reference(unquote(request.path.removeprefix(PREFIX)))
        query = {name: values[-1] for name, values in parse_qs(request.query, max_num_fields=16).items()}
        since = query.get("since", "0")
        if reference is None or not since.isdecimal():
            text = b"GET /_lambdad/logs/FUNCTION?since=MILLISECONDS&follow=0|1&qualifier=VERSION\n"
            responder.send(Response(400, [("Content-Type", "text/plain")], text))
            return
        namespace = Namespace(here.account, reference.region or here.region)
        if reference.account not in (None, here.account):
            text = f"{reference.account} is not the account that asks ({here.account})\n".encode()
            responder.send(Response(403, [("Content-Type", "text/plain")], text))
            return
        group = self._log_group(namespace, reference.name)
        wanted = _Filter(query.get("qualifier") or reference.qualifier, query.get("request_id"))
        if query.get("follow") == "1":
            stream = self._follow(namespace, group, int(since), wanted)
        else:
            stream = self._read(namespace, group, int(since), wanted)
        responder.send(Response(200, [_NDJSON], stream=stream))

    async def _read(self, namespace: Namespace, group: str, since_ms: int, wanted: _Filter) -> AsyncIterator[bytes]:
        records = await asyncio.to_thread(self._logs.read, namespace, group, since_ms=since_ms, limit=RECORDS_MAX)
        for start in range(0, len(records), BATCH):
            yield _lines(record for record in records[start : start + BATCH] if wanted.passes(record))

    async def _follow(self, namespace: Namespace, group: str, since_ms: int, wanted: _Filter) -> AsyncIterator[bytes]:
        async for record in self._logs.follow(namespace, group, since_ms=since_ms, wait=_pause):
            if wanted.passes(record):
                yield _lines([record])


class _Filter:
    """version: of the stream's sandbox. request_id: from its START to its REPORT, and what stands between."""

    def __init__(self, version: str | None, request_id: str | None) -> None:
        self._version = version
        self._request_id = request_id
        self._open: set[str] = set()

    def passes(self, record: LogRecord) -> bool:
        if self._version is not None and f"[{self._version}]" not in record.stream:
            return False
        if self._request_id is None:
            return True
        if self._request_id in record.text:
            if "REPORT RequestId" in record.text or '"platform.report"' in record.text:
                self._open.discard(record.stream)
            else:
                self._open.add(record.stream)
            return True
        return record.stream in self._open


def _lines(records: Iterable[LogRecord]) -> bytes:
    return b"".join(
        orjson.dumps(
            {"timestamp": record.timestamp_ms, "stream": record.stream, "message": record.text},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for record in records
    )


async def _pause() -> None:
    await asyncio.sleep(FOLLOW_PAUSE_S)
