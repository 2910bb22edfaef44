"""The HTTP side of AWS's Python runtime client, in pure Python: a drop-in for its C extension of the same name.

`awslambdaric` calls `initialize_client`, `next`, `post_invocation_result` and `post_error`; its wheels carry a libcurl
based extension for one ABI only. Our entry adds `post_invocation_stream`, for handlers that are generators. This module
serves every CPython from 3.9, and runs inside the function's process: it imports nothing but `socket`, `os` and what
they load themselves.

One connection, kept open, one request at a time: `next` may run in another thread than the posts (the client does so
to keep the main thread open for signals) but never at the same time. A connection that the server closed while idle is
opened anew once; a request of which a part of the answer was seen is never sent again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence

_API = "/2018-06-01/runtime/invocation"
_HEAD_MAX = 2 * 1024 * 1024
_BODY_MAX = 64 * 1024 * 1024
_RECEIVE = 64 * 1024
_CUT = "the connection was closed in the middle of an answer"
_JOIN_MAX = 16 * 1024
"""Up to this size a body is sent in one write with its head: copying is cheaper than a second system call."""

_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_DEADLINE = "Lambda-Runtime-Deadline-Ms"
_HEADERS = {
    name: name.lower().encode()
    for name in (
        "Lambda-Runtime-Aws-Request-Id",
        "Lambda-Runtime-Trace-Id",
        "Lambda-Runtime-Invoked-Function-Arn",
        "Lambda-Runtime-Client-Context",
        "Lambda-Runtime-Cognito-Identity",
        "Lambda-Runtime-Aws-Tenant-Id",
        "Lambda-Runtime-Invocation-Id",
        "Content-Type",
    )
}
"""What `next` hands on beside the deadline, under the names that `awslambdaric` looks up."""

_connection: _Connection | None = None


class StreamFailed(Exception):
    """Raised by the pieces of a response: it failed midway. Arguments: type, and error object as JSON in base64."""


def initialize_client(user_agent: str) -> None:
    """Set the User-Agent and forget any connection; the address is read from the environment at the first request."""
    global _connection
    if _connection is not None:
        _connection.close()
    _connection = _Connection(user_agent)


def next() -> tuple[bytes, dict[str, str | int | None]]:  # noqa: A001
    """Wait for the next event. Returns its bytes and headers: None for a missing one, a number for the deadline."""
    status, headers, body = _open().request("GET", f"{_API}/next", (), b"")
    if status != 200:
        raise RuntimeError(f"Failed to get next invocation. HTTP status {status}: {body[:512]!r}")
    found: dict[str, str | int | None] = {name: headers.get(key) for name, key in _HEADERS.items()}
    deadline = headers.get(_DEADLINE.lower().encode(), "")
    found[_DEADLINE] = int(deadline) if deadline.isdecimal() else 0
    return body, found


def post_invocation_result(
    invoke_id: str, result_data: bytes, content_type: str = "application/json", invocation_id: str | None = None
) -> None:
    """Send a handler's result, as bytes."""
    _post(f"{_API}/{invoke_id}/response", result_data, [("Content-Type", content_type)], invocation_id)


def post_invocation_stream(
    invoke_id: str, pieces: Iterable[bytes], content_type: str, invocation_id: str | None = None
) -> None:
    """Send a response piece by piece, each as soon as it is there; waits while the platform takes no more.

    `StreamFailed`, raised by `pieces`, goes to the platform; every other exception to the caller, and the response is
    then broken off.
    """
    headers = [
        ("Content-Type", content_type),
        ("Lambda-Runtime-Function-Response-Mode", "streaming"),
        ("Transfer-Encoding", "chunked"),
        ("Trailer", f"{_ERROR_TYPE}, {_ERROR_BODY}"),
    ]
    if invocation_id:
        headers.append(("Lambda-Runtime-Invocation-Id", invocation_id))
    status, _, answer = _open().stream(f"{_API}/{invoke_id}/response", headers, pieces)
    if not 200 <= status < 300:
        raise RuntimeError(f"Failed to stream invocation response. HTTP status {status}: {answer[:512]!r}")


def post_error(invoke_id: str, error_response_data: str, xray_fault: str, invocation_id: str | None = None) -> None:
    """Send a handler's error: JSON text, and the cause for X-Ray as JSON text or an empty string."""
    headers = [("Content-Type", "application/json")]
    if xray_fault:
        headers.append(("Lambda-Runtime-Function-XRay-Error-Cause", xray_fault))
    _post(f"{_API}/{invoke_id}/error", error_response_data.encode(), headers, invocation_id)


def _open() -> _Connection:
    if _connection is None:
        raise RuntimeError("initialize_client was not called")
    return _connection


def _post(path: str, body: bytes, headers: list[tuple[str, str]], invocation_id: str | None) -> None:
    if invocation_id:
        headers.append(("Lambda-Runtime-Invocation-Id", invocation_id))
    status, _, answer = _open().request("POST", path, headers, body)
    # A result too large is refused with 413, which the platform has then reported itself: the next event is due.
    if not 200 <= status < 300 and status != 413:
        raise RuntimeError(f"Failed to post invocation response. HTTP status {status}: {answer[:512]!r}")


class _Closed(Exception):
    """The server closed the connection before it answered anything."""


class _Connection:
    """HTTP/1.1 to one server, a request at a time."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._host = ""
        self._socket: socket.socket | None = None
        self._buffer = bytearray()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._buffer.clear()

    def request(
        self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[int, dict[bytes, str], bytes]:
        """Send and wait for the answer, without a time limit. Returns status, headers in lower case, body."""
        reused = self._socket is not None
        try:
            try:
                return self._exchange(method, path, headers, body)
            except (_Closed, ConnectionError):
                self.close()
                if not reused:
                    raise
                return self._exchange(method, path, headers, body)
        except (OSError, ValueError, _Closed) as error:
            self.close()
            raise RuntimeError(f"The Lambda Runtime API at {self._host} failed: {error}") from None
        except BaseException:
            self.close()  # an answer may be half read: its rest must not be taken for the next one
            raise

    def stream(
        self, path: str, headers: Sequence[tuple[str, str]], pieces: Iterable[bytes]
    ) -> tuple[int, dict[bytes, str], bytes]:
        """POST a body in chunks, once: pieces cannot be had again."""
        try:
            connection = self._connect()
            connection.sendall(self._request_head("POST", path, headers))
            trailers = ""
            try:
                for piece in pieces:
                    if piece:
                        self._send(connection, b"%x\r\n" % len(piece), piece, b"\r\n")
            except StreamFailed as failure:
                kind, body = failure.args
                trailers = f"{_ERROR_TYPE}: {_header_value(kind)}\r\n{_ERROR_BODY}: {_header_value(body)}\r\n"
            connection.sendall(f"0\r\n{trailers}\r\n".encode("utf-8", "replace"))
            return self._answer(connection)
        except (OSError, ValueError, _Closed) as error:
            self.close()
            raise RuntimeError(f"The Lambda Runtime API at {self._host} failed: {error}") from None
        except BaseException:
            self.close()
            raise

    def _request_head(self, method: str, path: str, headers: Sequence[tuple[str, str]]) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"User-Agent: {self._user_agent}"]
        lines += [f"{name}: {_header_value(value)}" for name, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")

    @staticmethod
    def _send(connection: socket.socket, before: bytes, body: bytes, after: bytes) -> None:
        if len(body) <= _JOIN_MAX:
            connection.sendall(before + body + after)
        else:
            connection.sendall(before)
            connection.sendall(body)
            if after:
                connection.sendall(after)

    def _exchange(
        self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[int, dict[bytes, str], bytes]:
        connection = self._connect()
        if method == "POST":
            headers = [*headers, ("Content-Length", str(len(body)))]
        self._send(connection, self._request_head(method, path, headers), body, b"")
        return self._answer(connection)

    def _connect(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        self._host = os.environ["AWS_LAMBDA_RUNTIME_API"]
        host, _, port = self._host.rpartition(":")
        connection = socket.create_connection((host, int(port)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        return connection

    def _answer(self, connection: socket.socket) -> tuple[int, dict[bytes, str], bytes]:
        status, headers = self._head(connection)
        while 100 <= status < 200:
            status, headers = self._head(connection)
        if headers.get(b"transfer-encoding", "").lower() == "chunked":
            try:
                body = self._chunks(connection)
            except _Closed:
                raise ValueError(_CUT) from None
        elif b"content-length" in headers:
            body = self._take(connection, _size(headers[b"content-length"], 10))
        elif status in (204, 304):
            body = b""
        else:
            raise ValueError("an answer without Content-Length")
        if headers.get(b"connection", "").lower() == "close":
            self.close()
        return status, headers, body

    def _head(self, connection: socket.socket) -> tuple[int, dict[bytes, str]]:
        end = self._find(connection, b"\r\n\r\n")
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        version, _, rest = lines[0].partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ValueError(f"not an HTTP answer: {lines[0][:64]!r}")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip().decode("utf-8", "replace")
        return int(rest[:3]), headers

    def _chunks(self, connection: socket.socket) -> bytes:
        parts = []
        total = 0
        while True:
            size = _size(self._line(connection).partition(b";")[0].decode("latin-1"), 16)
            total += size
            if total > _BODY_MAX:
                raise ValueError(f"an answer of more than {_BODY_MAX} bytes")
            if size == 0:
                break
            parts.append(self._take(connection, size))
            self._take(connection, 2)
        while self._line(connection):
            pass
        return b"".join(parts)

    def _line(self, connection: socket.socket) -> bytes:
        end = self._find(connection, b"\r\n")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _find(self, connection: socket.socket, mark: bytes) -> int:
        start = 0
        while True:
            found = self._buffer.find(mark, start)
            if found >= 0:
                return found
            if len(self._buffer) > _HEAD_MAX:
                raise ValueError(f"a header of more than {_HEAD_MAX} bytes")
            start = max(0, len(self._buffer) - len(mark) + 1)
            self._receive(connection)

    def _receive(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_RECEIVE)
        except ConnectionError:
            data = b""
        if not data:
            if self._buffer:
                raise ValueError(_CUT)
            raise _Closed("the connection was closed")
        self._buffer += data

    def _take(self, connection: socket.socket, size: int) -> bytes:
        """Exactly `size` bytes. What is not in the buffer yet is received where it will stay."""
        if len(self._buffer) >= size:
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            return data
        whole = bytearray(size)
        filled = len(self._buffer)
        whole[:filled] = self._buffer
        self._buffer.clear()
        with memoryview(whole) as view:
            while filled < size:
                try:
                    count = connection.recv_into(view[filled:])
                except ConnectionError:
                    count = 0
                if not count:
                    raise ValueError(_CUT)
                filled += count
        return bytes(whole)


def _size(text: str, base: int) -> int:
    size = int(text, base)
    if not 0 <= size <= _BODY_MAX:
        raise ValueError(f"an answer of {size} bytes")
    return size


def _header_value(value: str) -> str:
    """A header cannot hold line ends: text of the function's must not become headers of its own."""
    return value.replace("\r", " ").replace("\n", " ")
