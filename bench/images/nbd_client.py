"""The smallest NBD client that can read: fixed newstyle, the nameless export, simple replies. For measuring only."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_OPTION = struct.Struct(">QII")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_HAVE_OPTION = 0x49484156454F5054


class NbdClient:
    """path: of the server's Unix socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._take(18)
        self._socket.sendall(struct.pack(">I", 3) + _OPTION.pack(_HAVE_OPTION, 1, 0))
        self.size = int(struct.unpack(">QH", self._take(10))[0])

    def read(self, offset: int, length: int) -> bytearray:
        self._ask(offset, length)
        return self._answer(length)

    def read_through(self, end: int, piece: int, ahead: int) -> None:
        """Everything up to `end`, a multiple of `piece`, with `ahead` requests under way, as a kernel does."""
        for offset in range(0, ahead * piece, piece):
            self._ask(offset, piece)
        for offset in range(ahead * piece, end + ahead * piece, piece):
            self._answer(piece)
            if offset < end:
                self._ask(offset, piece)

    def _ask(self, offset: int, length: int) -> None:
        self._socket.sendall(_REQUEST.pack(0x25609513, 0, 0, 0, offset, length))

    def _answer(self, length: int) -> bytearray:
        _, error, _ = _REPLY.unpack(self._take(_REPLY.size))
        if error:
            raise OSError(error, "the NBD server answered with an error")
        return self._take(length)

    def close(self) -> None:
        self._socket.close()

    def _take(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view)
            if count == 0:
                raise ConnectionError("the NBD server hung up")
            view = view[count:]
        return data
