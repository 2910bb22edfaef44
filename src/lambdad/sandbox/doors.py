"""Doors: ports of a sandbox's own loopback interface, each of which leads to one address outside and nowhere else.

They are how functions reach the endpoints that the operator names (`function_endpoints`) without any network. The
sandbox's process 1 makes the listening sockets before the function is there; this process accepts on them and carries
bytes both ways, unread. Everything is a callback of the event loop. The rule: whatever comes from inside is bounded, in
connections, in bytes that wait, and in time for a connection to come about.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_log = logging.getLogger(__name__)

FIRST_PORT = 9010
"""Inside, of the first door; the others follow it."""
DOORS_MAX = 16
BACKLOG = 64
_CONNECTIONS_MAX = 256
"""At once, of one sandbox: a client that wants more waits in the backlog, then is refused by the kernel."""
_BUFFER = 65_536
_CONNECT_TIMEOUT_S = 10.0
_REST_S = 1.0
_WARNING_PAUSE_S = 10.0
_LOCAL_SOURCE = "127.0.0.2"
"""Where connections to this host come from: not 127.0.0.1, which may do more on lambdad's own pages."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a door leads. address: numeric, of IPv4 or IPv6."""

    address: str
    port: int

    @property
    def is_local(self) -> bool:
        return self.address.startswith("127.")

    def make_socket(self) -> socket.socket:
        """One that can be connected to it. Raises OSError."""
        return socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Doors:
    """What the sandboxes of one driver have. upstreams: the first is behind `FIRST_PORT`, and so on."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        if len(upstreams) > DOORS_MAX:
            raise ValueError(f"{len(upstreams)} doors, at most {DOORS_MAX} are possible")
        self.upstreams = tuple(upstreams)
        self._quiet_until = 0.0

    def open(self, loop: asyncio.AbstractEventLoop, listeners: Sequence[socket.socket]) -> OpenDoors:
        """Serve the listeners of one sandbox, one for each upstream; they are closed with what is returned."""
        return OpenDoors(loop, list(zip(listeners, self.upstreams, strict=True)), self._on_unreachable)

    def _on_unreachable(self, upstream: Upstream, reason: str, now: float) -> None:
        if now >= self._quiet_until:
            self._quiet_until = now + _WARNING_PAUSE_S
            _log.warning("a function's connection to %s (function_endpoints) failed: %s", upstream, reason)


class OpenDoors:
    """The doors of one sandbox, and who is passing through them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        doors: Sequence[tuple[socket.socket, Upstream]],
        on_unreachable: Callable[[Upstream, str, float], None],
    ) -> None:
        self._loop = loop
        self._doors = doors
        self._on_unreachable = on_unreachable
        self._passages: set[_Passage] = set()
        self._is_closed = False
        for listener, _ in doors:
            listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Shut them, and cut off whoever is passing. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._rest()
        for listener, _ in self._doors:
            listener.close()
        for passage in list(self._passages):
            passage.end()

    def _listen(self) -> None:
        if self._is_closed or len(self._passages) >= _CONNECTIONS_MAX:
            return
        for listener, upstream in self._doors:
            self._loop.add_reader(listener, self._accept, listener, upstream)

    def _accept(self, listener: socket.socket, upstream: Upstream) -> None:
        """One at a time: a flood of connections must not keep the loop."""
        try:
            inner, _ = listener.accept()
            try:
                outer = upstream.make_socket()
            except OSError:
                inner.close()
                raise
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:  # no descriptors left, most likely: do not spin
            self._on_unreachable(upstream, str(error.strerror), self._loop.time())
            self._rest()
            self._loop.call_later(_REST_S, self._listen)
            return
        passage = _Passage(self._loop, inner, outer, upstream, self._on_ended)
        self._passages.add(passage)
        if len(self._passages) >= _CONNECTIONS_MAX:
            self._rest()
        passage.connect()

    def _rest(self) -> None:
        for listener, _ in self._doors:
            self._loop.remove_reader(listener)

    def _on_ended(self, passage: _Passage, reason: str) -> None:
        was_full = len(self._passages) >= _CONNECTIONS_MAX
        self._passages.discard(passage)
        if reason:
            self._on_unreachable(passage.upstream, reason, self._loop.time())
        if was_full:
            self._listen()


class _Passage:
    """One connection from inside and its continuation outside."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        inner: socket.socket,
        outer: socket.socket,
        upstream: Upstream,
        on_ended: Callable[[_Passage, str], None],
    ) -> None:
        self.upstream = upstream
        self._loop = loop
        self._inner = inner
        self._outer = outer
        for sock in (inner, outer):
            sock.setblocking(False)
        self._on_ended = on_ended
        self._copies: tuple[_Copy, ...] = ()
        self._timer = loop.call_later(_CONNECT_TIMEOUT_S, self.end, "no answer")
        self._is_ended = False

    def connect(self) -> None:
        try:
            if self.upstream.is_local:
                self._outer.bind((_LOCAL_SOURCE, 0))
            code = self._outer.connect_ex((self.upstream.address, self.upstream.port))
        except OSError as error:
            self.end(str(error.strerror))
            return
        if code in (0, errno.EINPROGRESS):
            self._loop.add_writer(self._outer, self._on_connected)
        else:
            self.end(errno.errorcode.get(code, str(code)))

    def end(self, reason: str = "") -> None:
        """Close both sides. reason: why it did not come about. Idempotent."""
        if self._is_ended:
            return
        self._is_ended = True
        self._timer.cancel()
        for sock in (self._inner, self._outer):
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()
        self._on_ended(self, reason)

    def _on_connected(self) -> None:
        self._loop.remove_writer(self._outer)
        code = self._outer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.end(errno.errorcode.get(code, str(code)))
            return
        self._timer.cancel()
        for sock in (self._inner, self._outer):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._copies = (
            _Copy(self._loop, self._inner, self._outer, self._on_copied),
            _Copy(self._loop, self._outer, self._inner, self._on_copied),
        )

    def _on_copied(self, error: OSError | None) -> None:
        """One way has ended: with an error the other ends, too."""
        if error is not None or all(copy.is_done for copy in self._copies):
            self.end()


class _Copy:
    """Bytes of one way. What the destination does not take yet waits, and the source with it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        destination: socket.socket,
        on_done: Callable[[OSError | None], None],
    ) -> None:
        self.is_done = False
        self._loop = loop
        self._source = source
        self._destination = destination
        self._on_done = on_done
        self._waiting = memoryview(b"")
        loop.add_reader(source, self._read)

    def _read(self) -> None:
        try:
            data = self._source.recv(_BUFFER)
            if not data:
                self._loop.remove_reader(self._source)
                self.is_done = True
                self._destination.shutdown(socket.SHUT_WR)
                self._on_done(None)
                return
            self._waiting = memoryview(data)
            self._write()
        except BlockingIOError:
            return
        except OSError as error:
            self._on_done(error)
            return
        if self._waiting:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._destination, self._flush)

    def _flush(self) -> None:
        try:
            self._write()
        except OSError as error:
            self._on_done(error)
            return
        if not self._waiting:
            self._loop.remove_writer(self._destination)
            self._loop.add_reader(self._source, self._read)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._waiting = self._waiting[self._destination.send(self._waiting) :]
