"""As much of a vhost-user front-end as asks a block device for its size. Source: QEMU's docs/interop/vhost-user.rst."""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path

_HEADER = struct.Struct("<III")
_CONFIG = struct.Struct("<III")
_VERSION = 1
_GET_CONFIG = 24
_SECTOR = 512
_CONFIG_SIZE = 60
"""Of `struct virtio_blk_config` up to what every device has."""
_DEADLINE_S = 30.0


def read_capacity(path: Path) -> int:
    """Bytes of the device at this socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(_DEADLINE_S)
        connection.connect(str(path))
        body = _CONFIG.pack(0, _CONFIG_SIZE, 0) + bytes(_CONFIG_SIZE)
        connection.sendall(_HEADER.pack(_GET_CONFIG, _VERSION, len(body)) + body)
        request, _, size = _HEADER.unpack(_receive(connection, _HEADER.size))
        answer = _receive(connection, size)
        assert request == _GET_CONFIG
    (sectors,) = struct.unpack_from("<Q", answer, _CONFIG.size)
    return int(sectors) * _SECTOR


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the device closed the connection"
        data += piece
    return data
