"""A proxy before a Lambda API that fails when it is told to: for publishers of layers, which must survive all of it.

A fault belongs to a region, which requests name in their signature, and to the n-th call of one operation there. It
happens before the request is forwarded, or after: then the service has done what the client never hears of.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/lambda/")
_ROUTES = (
    ("permit", "POST", re.compile(r".*/layers/[^/]+/versions/\d+/policy")),
    ("principals", "GET", re.compile(r".*/layers/[^/]+/versions/\d+/policy")),
    ("code_sha256", "GET", re.compile(r".*/layers/[^/]+/versions/\d+")),
    ("publish", "POST", re.compile(r".*/layers/[^/]+/versions")),
    ("versions", "GET", re.compile(r".*/layers/[^/]+/versions")),
)
OPERATIONS = tuple(name for name, _, _ in _ROUTES)
_UPSTREAM_TIMEOUT_S = 60.0
_HANG_MAX_S = 30.0


class Kind(StrEnum):
    """How a call fails."""

    TIMEOUT_BEFORE = "timeout before"
    TIMEOUT_AFTER = "timeout after"
    THROTTLED = "throttled"
    BROKEN_BEFORE = "500 before"
    BROKEN_AFTER = "500 after"
    DISCONNECTED_BEFORE = "disconnected before"
    DISCONNECTED_AFTER = "disconnected after"
    DENIED = "denied"


_ANSWERS = {
    Kind.THROTTLED: (429, "TooManyRequestsException"),
    Kind.BROKEN_BEFORE: (500, "ServiceException"),
    Kind.BROKEN_AFTER: (500, "ServiceException"),
    Kind.DENIED: (403, "AccessDeniedException"),
}
_AFTER = frozenset({Kind.TIMEOUT_AFTER, Kind.BROKEN_AFTER, Kind.DISCONNECTED_AFTER})


@dataclass(frozen=True, slots=True)
class Fault:
    """The `nth` call (from 1) of an operation fails in this way; the next goes through."""

    operation: str
    nth: int
    kind: Kind


@dataclass(slots=True)
class FaultProxy:
    """endpoint: where clients go. struck: regions and faults that have happened.

    on_call: told of region and operation after the service has answered and before the client hears of it.
    """

    endpoint: str
    faults: Mapping[str, Sequence[Fault]] = field(default_factory=dict)
    struck: list[tuple[str, Fault]] = field(default_factory=list)
    on_call: Callable[[str, str], None] = lambda region, operation: None
    _calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)

    def plan(self, faults: Mapping[str, Sequence[Fault]]) -> None:
        """Begin anew, with these faults for each region that is named."""
        with self._lock:
            self.faults = dict(faults)
            self.struck = []
            self._calls.clear()

    def meet(self, region: str, operation: str) -> Kind | None:
        """Count a call; how it fails, if it does."""
        with self._lock:
            self._calls[region, operation] += 1
            for fault in self.faults.get(region, ()):
                if (fault.operation, fault.nth) == (operation, self._calls[region, operation]):
                    self.struck.append((region, fault))
                    return fault.kind
            return None

    def hang(self) -> None:
        """Say nothing until the client has long given up, or the proxy ends."""
        self._ending.wait(_HANG_MAX_S)

    def end(self) -> None:
        self._ending.set()


@contextmanager
def fault_proxy(upstream_port: int) -> Iterator[FaultProxy]:
    """A proxy on loopback before a service on loopback."""
    server = _Server(upstream_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.proxy.end()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, upstream_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream_port = upstream_port
        self.proxy = FaultProxy(f"http://127.0.0.1:{self.server_port}")

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up while they are answered are what this is for."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        scope = _SCOPE.search(self.headers.get("Authorization", ""))
        region = scope[1] if scope else ""
        path = self.path.partition("?")[0]
        operation = next((name for name, verb, route in _ROUTES if verb == self.command and route.fullmatch(path)), "")
        kind = self.server.proxy.meet(region, operation)
        if kind is None or kind in _AFTER:
            status, headers, answer = self._ask(body)
            self.server.proxy.on_call(region, operation)
        if kind is None:
            self._answer(status, headers, answer)
        else:
            self._fail(kind)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port, timeout=_UPSTREAM_TIMEOUT_S)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            upstream.request(self.command, self.path, body, headers)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, kind: Kind) -> None:
        if kind in _ANSWERS:
            status, code = _ANSWERS[kind]
            headers = [("x-amzn-errortype", code), ("content-type", "application/json")]
            self._answer(status, headers, b'{"message": "injected"}')
            return
        if kind in (Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER):
            self.server.proxy.hang()
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have gone first
            self.connection.shutdown(socket.SHUT_RDWR)
