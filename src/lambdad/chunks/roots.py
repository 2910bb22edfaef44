"""Roots: the generations of the origin. Where chunks are kept, and how a reader finds them.

A root is a folder of the origin with manifests and all their chunks: *a manifest in a root has all its chunks in the
same root*. There are no reference counts. The state of a root is one small object, `roots/<id>`:

    ACTIVE   uploads go here
    RETIRED  read-only; the collector copies manifests that are still wanted, chunks first, to an active root
    EXPIRED  everything wanted is elsewhere. Still readable, but a read is an alarm, and an alarm stops deletion
    DELETING being taken away; nothing may be read

(The states are the paper's. A "retired root that is still read" in the sense of an alarm is one in EXPIRED.)
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from lambdad.chunks.codec import Salt
from lambdad.chunks.interface import ChunkError, ChunkMissing, ChunkName
from lambdad.chunks.objects import ObjectMissing, Objects
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.model.clock import Clock

_log = logging.getLogger(__name__)

_ROOT_RECORD_MAX = 4096
_ROOTS_MAX = 1000


class RootState(Enum):
    ACTIVE = "active"
    RETIRED = "retired"
    EXPIRED = "expired"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Root:
    """since: Unix time at which the root entered its state."""

    id: str
    state: RootState
    since: float


class RootsInvalid(ChunkError):
    """A record of a root cannot be read: nothing may be deleted until somebody has looked."""


class _Gettable(Protocol):
    async def get(self, path: str) -> bytes: ...


def root_path(root: str) -> str:
    return f"roots/{root}"


def alarm_path(root: str) -> str:
    return f"alarms/{root}"


def encode_root(root: Root) -> bytes:
    return json.dumps({"version": 1, "state": root.state.value, "since": root.since}).encode()


def parse_root(root_id: str, data: bytes) -> Root:
    """Raises `RootsInvalid`."""
    try:
        Salt(root_id)
        if len(data) > _ROOT_RECORD_MAX:
            raise ValueError("too long")
        fields = json.loads(data)
        if fields["version"] != 1:
            raise ValueError(f"version {fields['version']}")
        return Root(root_id, RootState(fields["state"]), float(fields["since"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RootsInvalid(f"record of root {root_id!r} is damaged: {error}") from error


async def load_root(objects: _Gettable, root: str) -> Root | None:
    try:
        return parse_root(root, await objects.get(root_path(root)))
    except ObjectMissing:
        return None


async def load_roots(objects: Objects) -> tuple[Root, ...]:
    """All roots, youngest first. Raises `RootsInvalid`, `StoreUnavailable`."""
    roots = []
    async for path in objects.list("roots"):
        root = await load_root(objects, path.rpartition("/")[2])
        if root is not None:
            roots.append(root)
        if len(roots) > _ROOTS_MAX:
            raise RootsInvalid(f"more than {_ROOTS_MAX} roots: this is not a store of ours")
    return tuple(sorted(roots, key=lambda root: root.id, reverse=True))


async def active_root(objects: Objects, now: float) -> Root:
    """The youngest active root, made now if there is none: where uploads go."""
    for root in await load_roots(objects):
        if root.state is RootState.ACTIVE:
            return root
    root = new_root(now)
    await objects.create(root_path(root.id), encode_root(root))
    return root


def new_root(now: float) -> Root:
    """Identifiers sort by age. Two made in one second are the same root, which does no harm."""
    return Root(f"r{int(now):011d}", RootState.ACTIVE, now)


class RootedStore:
    """Reads chunks from whichever root has them. A `ChunkStore` for workers; uploads write to an `OriginStore`.

    The root that answered last is asked first: an image is in one root. When no root has a chunk, the list of roots is
    read again, at most once in `refresh_s`: the collector may have moved it under a mounted image.
    """

    def __init__(self, origin: Origin, clock: Clock, refresh_s: float = 30.0) -> None:
        self._origin = origin
        self._clock = clock
        self._refresh_s = refresh_s
        self._roots: list[Root] = []
        self._loaded = float("-inf")
        self._lock = asyncio.Lock()
        self._alarmed: set[str] = set()

    async def get(self, name: ChunkName) -> bytes:
        await self._load_once()
        seen = self._loaded
        try:
            return await self._get(name)
        except ChunkMissing:
            if self._clock.monotonic() - self._loaded < self._refresh_s:
                raise
        await self._reload(seen)
        return await self._get(name)

    async def has(self, name: ChunkName) -> bool:
        await self._load_once()
        for root in self._roots:
            if await OriginStore(self._origin, root.id).has(name):
                return True
        return False

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        """Repair: into the root that answered last."""
        await self._load_once()
        if not self._roots:
            raise RootsInvalid("the origin has no root yet: nothing was ever uploaded")
        await OriginStore(self._origin, self._roots[0].id).put(name, cipher_text)

    async def readable_roots(self) -> list[str]:
        """The roots in use as they were last read: good enough for hints, and no round trip. Raises `ChunkError`."""
        await self._load_once()
        return [root.id for root in self._roots if root.state in (RootState.ACTIVE, RootState.RETIRED)]

    async def close(self) -> None:
        await self._origin.objects.close()

    async def _get(self, name: ChunkName) -> bytes:
        for number, root in enumerate(list(self._roots)):
            try:
                data = await OriginStore(self._origin, root.id).get(name)
            except ChunkMissing:
                continue
            if root.state is RootState.EXPIRED:
                await self._alarm(root, name)
            elif number:
                self._prefer(root)
            return data
        raise ChunkMissing(name, f"any of {len(self._roots)} roots of the origin")

    def _prefer(self, root: Root) -> None:
        if root in self._roots:
            self._roots.remove(root)
            self._roots.insert(0, root)

    async def _load_once(self) -> None:
        if not self._roots:
            await self._reload(self._loaded)

    async def _reload(self, seen: float) -> None:
        """Read the list of roots, unless somebody has since `seen`: a cold start of everything asks once."""
        async with self._lock:
            if self._loaded == seen:
                await self._read_roots()

    async def _read_roots(self) -> None:
        order = (RootState.ACTIVE, RootState.RETIRED, RootState.EXPIRED)
        roots: Sequence[Root] = await load_roots(self._origin.objects)
        self._roots = sorted(
            (root for root in roots if root.state is not RootState.DELETING), key=lambda root: order.index(root.state)
        )
        self._loaded = self._clock.monotonic()

    async def _alarm(self, root: Root, name: ChunkName) -> None:
        """Say it once per root and process, and persistently: the collector stops while the object is there."""
        if root.id in self._alarmed:
            return
        self._alarmed.add(root.id)
        _log.critical("action=expired_root_read root=%s chunk=%s", root.id, name.hex())
        record = json.dumps({"time": self._clock.time(), "chunk": name.hex()}).encode()
        try:
            await self._origin.put(alarm_path(root.id), record)
        except ChunkError as error:
            # The read must not fail for it; the next read tries again.
            self._alarmed.discard(root.id)
            _log.critical("action=expired_root_alarm_lost root=%s error=%s", root.id, error)
