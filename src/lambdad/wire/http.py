"""HTTP messages as values, in the few shapes that lambdad needs. No I/O; `wire.server` drives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Request:
    """One complete HTTP/1.1 request.

    path: as sent, percent-encoding kept, without the query. query: as sent, without `?`.
    headers: names in lower case; a name that came several times holds its values joined by `,`, cookies by `; `.
    peer: address of the client for logs; empty on unix sockets.
    overflow: bytes of body past the server's limit; they were read and dropped, and `body` is then empty.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""
    overflow: int = 0


@dataclass(slots=True)
class Response:
    """One HTTP response. The server adds Content-Length, Date and Connection.

    stream: when set, the body in pieces with chunked transfer coding, and `body` is not used: pulled from an iterator,
    or pushed by a `BodySource`.
    closes: the connection is closed after it, and says so.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | BodySource | None = None
    closes: bool = False


class BodyWriter(Protocol):
    """Where a `BodySource` writes. After the client has left, writing does nothing."""

    def write(self, data: bytes) -> bool:
        """Send a piece. False if the client is slow: write no more before `BodySource.drained`."""
        ...

    def end(self) -> None:
        """The body is complete."""
        ...

    def abort(self) -> None:
        """Cut the connection: how HTTP says that the rest of a body cannot come."""
        ...


class BodySource(Protocol):
    """A response body that is pushed in pieces."""

    def open(self, writer: BodyWriter) -> None:
        """The head has been written; pieces may follow."""
        ...

    def drained(self) -> None:
        """The client has caught up."""
        ...

    def lost(self) -> None:
        """The client has left, or wants no body. Nothing is called after this."""
        ...


class BodyFlow(Protocol):
    """Holds back the sender of a request body, and lets it go on."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class BodyReader(Protocol):
    """Takes a request body in pieces. Exactly one of `end` and `cut` comes last."""

    def data(self, piece: bytes) -> None: ...

    def end(self, trailers: Mapping[str, str]) -> None:
        """The body is complete; now the request is answered. trailers: names in lower case."""
        ...

    def cut(self) -> None:
        """The connection ended, or the framing broke, in the middle of the body."""
        ...
