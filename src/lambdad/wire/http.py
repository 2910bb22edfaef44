"""HTTP messages as values, in the few shapes that lambdad needs. No I/O; `wire.server` drives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


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

    stream: when set, the body in pieces with chunked transfer coding, and `body` is not used.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
