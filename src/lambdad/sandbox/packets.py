"""Packets with descriptors on an event loop: the driver's ends of its unix sockets.

A message is one packet. What the other side sends is bytes to be looked at, never trusted to be well formed.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

MESSAGE_MAX = 192 * 1024
_DESCRIPTORS_MAX = 64
_GONE = "the process that makes mounts has ended"
_IN_FLIGHT_MAX = 8
_PACKETS_AT_ONCE = 32
"""Then everybody else has a turn: a process inside that writes as fast as it is read must not keep the loop."""
_SPACE = socket.CMSG_SPACE(4 * _DESCRIPTORS_MAX)

OnPacket = Callable[[bytes, list[int]], None]


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; the first is ours and does not block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


class PacketReader:
    """Calls back with every packet, and with no bytes, once, when the other end is closed.

    The descriptors belong to the callback. `close` may be called at any time and again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, on_packet: OnPacket) -> None:
        self._loop = loop
        self._socket = sock
        self._on_packet = on_packet
        self._is_open = True
        loop.add_reader(sock.fileno(), self._read)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Raises OSError; BlockingIOError if the other side reads too slowly."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._socket.sendmsg([data], rights)

    @property
    def is_closed(self) -> bool:
        return not self._is_open

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _read(self) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            if not self._is_open:
                return
            try:
                data, fds = receive_packet(self._socket)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # said once, when the other end closed without reading all; what it sent is still to be had
            except OSError:
                data, fds = b"", []
            if not data:
                self.close()
            self._on_packet(data, fds)


def receive_packet(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and its descriptors, which are closed on exec."""
    data, ancillary, _, _ = sock.recvmsg(MESSAGE_MAX, _SPACE, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    return data, list(fds)


class Requests:
    """Requests that are answered in their order, as JSON packets: the driver's side of the mounter."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[tuple[dict[str, Any], list[int]]]] = deque()
        self._backlog: deque[bytes] = deque()
        self._in_flight = 0
        self._reader = PacketReader(loop, sock, self._on_packet)

    def send(self, request: dict[str, Any]) -> asyncio.Future[tuple[dict[str, Any], list[int]]]:
        """Resolves with the answer and its descriptors; fails with ConnectionError when the other side is gone.

        A caller that is cancelled loses its answer: the descriptors are then closed here.
        """
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = self._loop.create_future()
        if self.is_closed:
            future.set_exception(ConnectionError(_GONE))
            return future
        self._waiting.append(future)
        self._backlog.append(json.dumps(request).encode())
        self._flush()
        return future

    def close(self) -> None:
        self._reader.close()
        self._fail()

    @property
    def is_closed(self) -> bool:
        """Whether either side has closed."""
        return self._reader.is_closed

    def _flush(self) -> None:
        # Few at a time: the socket's buffer holds them all, and none is ever refused.
        while self._backlog and self._in_flight < _IN_FLIGHT_MAX:
            try:
                self._reader.send(self._backlog[0])
            except OSError:
                self.close()
                return
            self._backlog.popleft()
            self._in_flight += 1

    def _on_packet(self, data: bytes, fds: list[int]) -> None:
        if not data:
            self._fail()
            return
        future = self._waiting.popleft()
        self._in_flight -= 1
        if future.done():
            for fd in fds:
                os.close(fd)
        else:
            future.set_result((json.loads(data), fds))
        self._flush()

    def _fail(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(ConnectionError(_GONE))
        self._backlog.clear()
