"""The fastest HTTP client that plain Python sockets give: one request, prepared once, sent again and again.

Used where the client's own time would hide the server's. Knows Content-Length bodies only, which is what an invoke is
answered with.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

INVOKE = "/2015-03-31/functions/{name}/invocations"
_RECEIVE = 65536


class BadAnswer(Exception):
    """Not an HTTP response, an error status, or a function error: the benchmark would measure failures."""


@dataclass(frozen=True, slots=True)
class Answer:
    """headers: as sent, one line each."""

    headers: str
    body: bytes

    def header(self, name: str) -> str | None:
        """Value of a header, by its lower-case name."""
        for line in self.headers.split("\r\n"):
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None


def build_request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def split_answer(data: bytes) -> tuple[Answer, bytes] | None:
    """(the first answer in `data`, what follows it), or None while it is incomplete. Raises `BadAnswer`."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    answer = Answer(data[:end].decode("latin-1"), b"")
    length = int(answer.header("content-length") or 0)
    stop = end + 4 + length
    if len(data) < stop:
        return None
    body = data[end + 4 : stop]
    if not answer.headers.startswith("HTTP/1.1 200") or answer.header("x-amz-function-error"):
        raise BadAnswer(f"{answer.headers}\n\n{body[:2000]!r}")
    return Answer(answer.headers, body), data[stop:]


class Connection:
    """One keep-alive connection, blocking. timeout: seconds for each answer."""

    def __init__(self, port: int, timeout: float = 120.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, request: bytes) -> Answer:
        """Send it and wait for the answer. Raises `BadAnswer`, `OSError`."""
        self._socket.sendall(request)
        data = b""
        while True:
            received = self._socket.recv(_RECEIVE)
            if not received:
                raise BadAnswer("the server closed the connection")
            data += received
            split = split_answer(data)
            if split is not None:
                return split[0]

    def close(self) -> None:
        self._socket.close()


def measure_latency(port: int, request: bytes, seconds: float) -> list[float]:
    """Milliseconds of each of the calls, one after the other, that fit into `seconds`."""
    connection = Connection(port)
    try:
        samples = []
        now = time.perf_counter()
        deadline = now + seconds
        while now < deadline:
            connection.call(request)
            after = time.perf_counter()
            samples.append((after - now) * 1000)
            now = after
        return samples
    finally:
        connection.close()


@dataclass(slots=True)
class _Lane:
    """A connection of `run_lanes` and what it has still to send."""

    socket: socket.socket
    left: int
    sent: float = 0.0
    data: bytes = b""
    answers: list[tuple[float, Answer]] = field(default_factory=list)


def run_lanes(port: int, requests: Sequence[bytes], repeat: int, timeout: float) -> list[tuple[float, Answer]]:
    """Send each request `repeat` times on a connection of its own, all at once: (milliseconds, answer) of every call.

    timeout: seconds without any answer until it gives up with `TimeoutError`.
    """
    selector = selectors.EpollSelector()
    lanes = []
    try:
        for request in requests:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lane = _Lane(connection, repeat)
            lanes.append(lane)
            selector.register(connection, selectors.EVENT_READ, (lane, request))
        for lane, request in zip(lanes, requests, strict=True):
            _send(lane, request)
        waiting = len(lanes)
        while waiting:
            events = selector.select(timeout)
            if not events:
                raise TimeoutError(f"{waiting} of {len(lanes)} connections got no answer within {timeout:.0f} s")
            for key, _ in events:
                lane, request = key.data
                if _receive(lane, request):
                    selector.unregister(lane.socket)
                    waiting -= 1
        return [answer for lane in lanes for answer in lane.answers]
    finally:
        selector.close()
        for lane in lanes:
            lane.socket.close()


def _send(lane: _Lane, request: bytes) -> None:
    lane.left -= 1
    lane.sent = time.perf_counter()
    lane.socket.sendall(request)


def _receive(lane: _Lane, request: bytes) -> bool:
    """Take what has come; whether this connection has all its answers."""
    received = lane.socket.recv(_RECEIVE)
    if not received:
        raise BadAnswer("the server closed the connection")
    lane.data += received
    split = split_answer(lane.data)
    if split is None:
        return False
    answer, lane.data = split
    lane.answers.append(((time.perf_counter() - lane.sent) * 1000, answer))
    if lane.left == 0:
        return True
    _send(lane, request)
    return False
