"""The tier of cache nodes: chunks as five fragments on ordinary Redis or Valkey servers; any four answers win.

Constant work instead of retries: all five are asked, the first four good answers decide, the slowest never matters. A
node that is lost or slow therefore changes neither the hit rate nor the latency; two at once make the chunk a miss,
and the origin answers. There is no failure handling besides: a node with an open breaker counts as an answer that did
not come.

The client is ours (`resp.py`, 100 lines) and not the `redis` package: it needs three commands, pipelined on one
connection per node, with a deadline and a byte limit and *without* the reconnecting and retrying that a general client
does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from lambdad.chunks import erasure
from lambdad.chunks.background import running
from lambdad.chunks.cache_address import CacheAddress, parse_cache_address
from lambdad.chunks.hash_ring import HashRing
from lambdad.chunks.interface import ChunkInvalid, ChunkMissing, ChunkName, StoreUnavailable
from lambdad.chunks.limited import Slots
from lambdad.chunks.resp import Reply, ReplyError, ReplyParser, RespError, encode_command
from lambdad.model.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLimits:
    """deadline_s: for a chunk; then it is a miss. connect_s: for a connection. rest_s: pause after a failed one.

    at_once, queue: chunks that are asked for at once, and that wait for their turn, which is no part of the deadline:
    a burst must not make every node look slow and send everything to the origin.
    in_flight: commands waiting for an answer of one node. backlog: bytes not yet taken by one node.
    patience: answers that may stay out beyond the deadline, one after the other, before a node is given a rest.
    """

    deadline_s: float = 0.25
    connect_s: float = 0.25
    rest_s: float = 2.0
    at_once: int = 16
    queue: int = 4096
    in_flight: int = 512
    backlog: int = 32 * 1024 * 1024
    patience: int = 16


_log = logging.getLogger(__name__)

_SLICES = 4
"""The deadline is waited for in so many parts, so that a process that is held up itself does not blame the nodes: a
pause uses up one part, and the answers that came meanwhile are read in the next."""

Keep = Callable[[int, Reply], None]
"""Takes the answer of the node with fragment `index`."""
Enough = Callable[[], bool]


class NodeDown(Exception):
    """This node is not asked, or did not answer."""


class _Refused(Exception):
    """The node does not let us in: the password is wrong or missing. The text is the server's word for it."""


class _Connection(asyncio.Protocol):
    """One pipelined connection: commands go out, replies come back in order."""

    def __init__(self, limits: NodeLimits) -> None:
        self._limits = limits
        self._parser = ReplyParser()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._transport: asyncio.Transport | None = None
        self.lost = False
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._parser.feed(data):
                if not self._waiting:
                    raise RespError("a reply that nobody asked for")
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except RespError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.ended.set()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                # A value, not an exception: nobody may be left to fetch an exception from it.
                future.set_result(ReplyError("connection lost"))

    def send(self, *parts: bytes) -> asyncio.Future[Reply]:
        transport = self._transport
        if self.lost or transport is None or transport.is_closing():
            raise NodeDown("connection lost")
        if len(self._waiting) >= self._limits.in_flight or transport.get_write_buffer_size() > self._limits.backlog:
            raise NodeDown("too much is waiting for the node")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        transport.writelines(encode_command(*parts))
        return future

    def abort(self) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.abort()


class _Node:
    """A server. Connecting is the business of `maintain`, never of a read: who asks a node without a connection has
    its answer at once.
    """

    def __init__(self, address: CacheAddress, tls: ssl.SSLContext | None, limits: NodeLimits, clock: Clock) -> None:
        """tls: of an address that wants it."""
        self._address = address
        self._tls = tls
        self._limits = limits
        self._clock = clock
        self._connection: _Connection | None = None
        self._tried = asyncio.Event()
        self._late = 0
        self._is_tired = False

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def maintain(self) -> None:
        """Keep a connection open until cancelled, with a rest after each failure."""
        while True:
            began = self._clock.monotonic()
            try:
                await self._live_through_a_connection()
            except (OSError, TimeoutError) as error:
                _log.info("action=cache_node_down node=%s error=%s", self._address.name, error)
                self._is_tired = True
            except _Refused as error:
                _log.warning("action=cache_node_refused node=%s error=%s", self._address.name, error)
                self._is_tired = True
            finally:
                self._tried.set()
                self.close()
            if self._is_tired or self._clock.monotonic() - began < self._limits.rest_s:
                await asyncio.sleep(self._limits.rest_s)

    async def ask(self, *parts: bytes) -> Reply:
        """One command. Raises `NodeDown`."""
        # Only the very first reads of a process wait for a connection; the caller's deadline bounds it.
        await self._tried.wait()
        if self._connection is None:
            raise NodeDown("no connection")
        reply = await self._connection.send(*parts)
        self._late = 0
        if isinstance(reply, ReplyError):
            raise NodeDown(str(reply))
        return reply

    def is_late(self) -> None:
        """An answer was not there at the deadline. A node that keeps being late gets a rest and a new connection."""
        self._late += 1
        if self._late >= self._limits.patience:
            self._is_tired = True
            self.close()

    def close(self) -> None:
        self._late = 0
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _live_through_a_connection(self) -> None:
        loop = asyncio.get_running_loop()
        self._is_tired = False
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._limits.connect_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._limits), self._address.host, self._address.port, ssl=self._tls
                )
                await self._log_in(connection)
        except BaseException:
            if connection is not None:
                connection.abort()
            raise
        self._connection = connection
        self._tried.set()
        await connection.ended.wait()

    async def _log_in(self, connection: _Connection) -> None:
        """Say who we are; without a password, ask whether one is wanted. Raises `_Refused`."""
        user, password = self._address.user.encode(), self._address.password.encode()
        try:
            if password:
                reply = await connection.send(*([b"AUTH", user, password] if user else [b"AUTH", password]))
            else:
                reply = await connection.send(b"PING")
        except NodeDown as error:
            raise OSError(str(error)) from None
        if isinstance(reply, ReplyError):
            # Its first word alone: the rest is the server's, who knows our password by now.
            word = re.match(r"[A-Z]{1,20}\b", str(reply))
            raise _Refused(word[0] if word else "an error")


class CacheNodes:
    """A `ChunkStore` over cache nodes. Make one with `open_cache_nodes`.

    The nodes should evict by themselves (`maxmemory-policy allkeys-lru` or `allkeys-lfu`); no expiry is set.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        clock: Clock,
        limits: NodeLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """tls: for nodes with `rediss://`."""
        self._limits = limits or NodeLimits()
        addresses = [parse_cache_address(node) for node in nodes]
        # By name: a chunk stays where it is when a password or TLS comes.
        self._ring = HashRing([address.name for address in addresses])
        self._slots = Slots(self._limits.at_once, self._limits.queue, "the tier of cache nodes")
        self._nodes = {
            address.name: _Node(address, tls if address.is_tls else None, self._limits, clock) for address in addresses
        }

    async def maintain(self) -> None:
        """Keep the connections until cancelled."""
        async with asyncio.TaskGroup() as group:
            for node in self._nodes.values():
                group.create_task(node.maintain())

    async def get(self, name: ChunkName) -> bytes:
        good: dict[int, bytes] = {}
        bad: list[str] = []

        def keep(index: int, reply: Reply) -> None:
            if isinstance(reply, bytes):
                try:
                    erasure.check(reply, index)
                    good[index] = reply
                except erasure.FragmentInvalid as error:
                    bad.append(f"fragment {index}: {error}")

        async with self._slots:
            answered = await self._ask_all(name, b"GET", keep, lambda: len(good) >= erasure.DATA_STRIPES)
        if len(good) >= erasure.DATA_STRIPES:
            try:
                return erasure.join(good)
            except erasure.FragmentInvalid as error:
                raise ChunkInvalid(name, "the cache nodes", str(error)) from error
        if bad:
            raise ChunkInvalid(name, "the cache nodes", "; ".join(bad))
        if answered < erasure.DATA_STRIPES:
            raise StoreUnavailable(f"{answered} of {erasure.FRAGMENTS} cache nodes answered in time")
        raise ChunkMissing(name, "the cache nodes")

    async def has(self, name: ChunkName) -> bool:
        found: list[int] = []

        def keep(index: int, reply: Reply) -> None:
            if reply == 1:
                found.append(index)

        await self._ask_all(name, b"EXISTS", keep, lambda: len(found) >= erasure.DATA_STRIPES)
        return len(found) >= erasure.DATA_STRIPES

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        fragments = erasure.split(cipher_text)
        stored: list[int] = []

        def keep(index: int, reply: Reply) -> None:
            if reply == b"OK":
                stored.append(index)

        await self._ask_all(name, b"SET", keep, lambda: len(stored) == erasure.FRAGMENTS, fragments)
        if len(stored) < erasure.DATA_STRIPES:
            raise StoreUnavailable(f"{len(stored)} of {erasure.FRAGMENTS} cache nodes took the chunk")

    async def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    async def _ask_all(
        self,
        name: ChunkName,
        verb: bytes,
        keep: Keep,
        enough: Enough,
        values: Sequence[bytes] | None = None,
    ) -> int:
        """Ask all five nodes at once until `enough`, or all have answered, or the deadline. Returns answers."""
        answered = 0
        finished = 0
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def ask(index: int, node: _Node) -> None:
            nonlocal answered, finished
            key = b"lambdad:1:%s:%d" % (name.hex().encode(), index)
            try:
                reply = await (node.ask(verb, key) if values is None else node.ask(verb, key, values[index]))
            except NodeDown:
                pass
            else:
                answered += 1
                keep(index, reply)
            finished += 1
            if not over.done() and (finished == erasure.FRAGMENTS or enough()):
                over.set_result(None)

        owners = self._ring.owners(name, erasure.FRAGMENTS)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(index, self._nodes[node])) for index, node in enumerate(owners)]
            done: set[asyncio.Future[None]] = set()
            for _ in range(_SLICES):
                done, _ = await asyncio.wait([over], timeout=self._limits.deadline_s / _SLICES)
                if done:
                    break
            for node, task in zip(owners, tasks, strict=True):
                if not task.done():
                    if not done:
                        self._nodes[node].is_late()
                    task.cancel()
        return answered


@contextlib.asynccontextmanager
async def open_cache_nodes(
    nodes: Sequence[str], clock: Clock, limits: NodeLimits | None = None, authority: str = ""
) -> AsyncIterator[CacheNodes]:
    """The tier on `nodes`, addresses of `cache_address`, with its connections. Five or more make sense; fewer hold
    several fragments of a chunk each.

    authority: file with the certificates that may sign those of nodes with `rediss://`; empty for the system's.
    Raises ValueError for what is not an address, OSError (`ssl.SSLError` is one) for a file of no use.
    """
    tls = None
    if any(parse_cache_address(node).is_tls for node in nodes):
        tls = ssl.create_default_context(cafile=authority or None)
    store = CacheNodes(nodes, clock, limits, tls)
    async with running(store.maintain):
        try:
            yield store
        finally:
            await store.close()
