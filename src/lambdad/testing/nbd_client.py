"""An NBD client for tests: fixed newstyle, structured replies, `base:allocation`; one request at a time.

Source: the protocol document of the NetworkBlockDevice project. Shares no code with the server.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_DEADLINE_S = 60.0
_OPTION_REPLY = struct.Struct(">QIII")
_CHUNK = struct.Struct(">IHHQI")
_CHUNK_MAGIC = 0x668E33EF

_STRUCTURED_REPLY, _SET_META_CONTEXT, _GO = 8, 10, 7
_ACK, _INFO = 1, 3
_DONE = 1
_NONE, _DATA, _HOLE, _STATUS = 0, 1, 2, 5
_READ, _WRITE, _DISCONNECT, _FLUSH, _TRIM, _CACHE, _WRITE_ZEROES, _BLOCK_STATUS = range(8)


class NbdRefused(Exception):
    """The server answered with an error; number: errno of the protocol."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number}: {text}")
        self.number = number


class NbdClient:
    """Connected to an export of the server at a Unix socket. size: bytes. Close it with `close`."""

    def __init__(self, path: Path, export: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_DEADLINE_S)
        self._socket.connect(str(path))
        self._cookie = 0
        self._take(18)
        self._socket.sendall(struct.pack(">I", 3))
        name = struct.pack(">I", len(export)) + export.encode()
        query = b"base:allocation"
        self._option(_STRUCTURED_REPLY, b"")
        self._option(_SET_META_CONTEXT, name + struct.pack(">II", 1, len(query)) + query)
        replies = self._option(_GO, name + bytes(2))
        (self.size,) = (struct.unpack_from(">Q", data, 2)[0] for data in replies if data[:2] == bytes(2))

    def read(self, offset: int, length: int) -> bytes:
        """Holes are zeros; every byte must be answered exactly once."""
        found, answered = bytearray(length), bytearray(length)
        for kind, body in self._request(_READ, offset, length):
            start = struct.unpack_from(">Q", body)[0] - offset
            data = body[8:] if kind == _DATA else bytes(struct.unpack_from(">I", body, 8)[0])
            end = start + len(data)
            assert 0 <= start < end <= length
            assert not any(answered[start:end])
            found[start:end], answered[start:end] = data, b"\1" * len(data)
        assert all(answered)
        return bytes(found)

    def write(self, offset: int, data: bytes) -> None:
        list(self._request(_WRITE, offset, len(data), data))

    def write_zeros(self, offset: int, length: int) -> None:
        list(self._request(_WRITE_ZEROES, offset, length))

    def trim(self, offset: int, length: int) -> None:
        list(self._request(_TRIM, offset, length))

    def cache(self, offset: int, length: int) -> None:
        list(self._request(_CACHE, offset, length))

    def flush(self) -> None:
        list(self._request(_FLUSH, 0, 0))

    def extents(self, offset: int, length: int) -> list[tuple[int, bool]]:
        """From `offset` on, as far as the server says: bytes, and whether they are known to be zeros."""
        found: list[tuple[int, bool]] = []
        for _, body in self._request(_BLOCK_STATUS, offset, length):
            for size, flags in struct.iter_unpack(">II", body[4:]):
                found.append((size, bool(flags & 2)))
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, _DISCONNECT, 0, 0, 0))
        self._socket.close()

    def _option(self, number: int, data: bytes) -> list[bytes]:
        """The bodies of the server's answers up to its acknowledgement."""
        self._socket.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)
        found: list[bytes] = []
        while True:
            _, answered, kind, length = _OPTION_REPLY.unpack(self._take(_OPTION_REPLY.size))
            body = self._take(length)
            assert answered == number
            if kind == _ACK:
                return found
            if kind & 0x80000000:
                raise NbdRefused(kind, body.decode())
            found.append(body)

    def _request(self, command: int, offset: int, length: int, data: bytes = b"") -> Iterator[tuple[int, bytes]]:
        """The chunks of the answer. Raises `NbdRefused`."""
        self._cookie += 1
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, command, self._cookie, offset, length) + data)
        refusal: NbdRefused | None = None
        while True:
            magic, flags, kind, cookie, size = _CHUNK.unpack(self._take(_CHUNK.size))
            assert (magic, cookie) == (_CHUNK_MAGIC, self._cookie)
            body = self._take(size)
            if kind & 0x8000:
                number, text = struct.unpack_from(">IH", body)
                refusal = NbdRefused(number, body[6 : 6 + text].decode())
            elif kind != _NONE:
                assert kind in (_DATA, _HOLE, _STATUS)
                yield kind, body
            if flags & _DONE:
                break
        if refusal is not None:
            raise refusal

    def _take(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = self._socket.recv(length - len(data))
            if not piece:
                raise ConnectionError("the NBD server hung up")
            data += piece
        return bytes(data)
