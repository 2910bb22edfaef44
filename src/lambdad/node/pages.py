"""The pages of the node itself: health, metrics, logs, and the downloads behind `Code.Location`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import orjson

from lambdad.control.code_location import PATH_PREFIX, CodeLocations
from lambdad.model.arn import Namespace
from lambdad.model.clock import Clock
from lambdad.store.blobs import BlobNotFound, BlobStore
from lambdad.telemetry.metrics import Metrics
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

_JSON = ("Content-Type", "application/json")
_TEXT = ("Content-Type", "text/plain")


class HealthPage:
    """200 with what this node can do, once it can do it."""

    def __init__(self, describe: Callable[[], Mapping[str, object] | None]) -> None:
        self._describe = describe

    def __call__(self, request: Request, here: Namespace, responder: Responder) -> None:
        told = self._describe()
        if told is None:
            responder.send(Response(503, [_JSON], b'{"status":"starting"}\n'))
        else:
            responder.send(Response(200, [_JSON], orjson.dumps({"status": "ok", **told}) + b"\n"))


class MetricsPage:
    """Prometheus' text format."""

    def __init__(self, metrics: Metrics, refresh: Callable[[], None]) -> None:
        self._metrics = metrics
        self._refresh = refresh

    def __call__(self, request: Request, here: Namespace, responder: Responder) -> None:
        self._refresh()
        kind = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        responder.send(Response(200, [kind], self._metrics.render()))


class CodePage:
    """A zip, for whoever has a link to it that has not expired."""

    def __init__(self, blobs: BlobStore, locations: CodeLocations, clock: Clock) -> None:
        self._blobs = blobs
        self._locations = locations
        self._clock = clock

    def __call__(self, request: Request, here: Namespace, responder: Responder) -> None:
        digest = request.path.removeprefix(PATH_PREFIX)
        if not self._locations.verify(digest, request.query, self._clock.time()):
            responder.send(
                Response(403, [_TEXT], b"This link has expired or is not valid. Call the API for a new one.\n")
            )
            return
        try:
            file = self._blobs.open(digest)
        except BlobNotFound:
            responder.send(Response(404, [_TEXT], b"The code has been deleted.\n"))
            return

        async def pieces() -> AsyncIterator[bytes]:
            with file:
                while data := await asyncio.to_thread(file.read, 1024 * 1024):
                    yield data

        responder.send(Response(200, [("Content-Type", "application/zip")], stream=pieces()))
