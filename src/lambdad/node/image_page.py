"""The collector of images, for people: what `lambdad image gc --endpoint` asks a running node.

GET  /_lambdad/images/collection     what a collection would do now
POST /_lambdad/images/collection     do it now instead of when its time comes

It is the node's own schedule: a root is retired, emptied, watched and deleted when each is due, never before. Nothing
in the answers tells whose images there are. Answers are JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import orjson

from lambdad.chunks.gc import summarize
from lambdad.chunks.interface import ChunkError
from lambdad.model.arn import Namespace
from lambdad.node.image_gc import ImageCollection
from lambdad.telemetry.log import Logger
from lambdad.wire.http import Request, Response
from lambdad.wire.server import Responder

PATH = "/_lambdad/images/collection"

_JSON = ("Content-Type", "application/json")
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class ImagePage:
    """Serves `PATH`. One collection at a time; who asks meanwhile is told so."""

    def __init__(self, collection: ImageCollection, spawn: Spawn, log: Logger) -> None:
        self._collection = collection
        self._spawn = spawn
        self._log = log
        self._busy = False

    def __call__(self, request: Request, here: Namespace, responder: Responder) -> None:
        if request.method not in ("GET", "POST"):
            _send(responder, 405, {"message": "GET shows the plan, POST executes it"})
        elif self._busy:
            _send(responder, 409, {"message": "somebody else has asked for a collection: wait until it is over"})
        else:
            self._busy = True
            self._spawn(self._serve(request, responder))

    async def _serve(self, request: Request, responder: Responder) -> None:
        try:
            status, document = 200, await self._answer(request.method)
        except (ChunkError, OSError) as error:
            status, document = 503, {"message": str(error)}
        except Exception as error:
            self._log.exception("request.failed", error, method=request.method, path=request.path)
            status, document = 500, {"message": "An error of lambdad itself; its log tells more."}
        finally:
            self._busy = False
        _send(responder, status, document)

    async def _answer(self, method: str) -> Mapping[str, Any]:
        if method == "GET":
            return {"steps": summarize(await self._collection.plan()), "executed": False}
        steps, counts = await self._collection.collect()
        return {"steps": summarize(steps), "executed": True, **dataclasses.asdict(counts)}


def _send(responder: Responder, status: int, document: Mapping[str, Any]) -> None:
    responder.send(Response(status, [_JSON], orjson.dumps(document) + b"\n"))
