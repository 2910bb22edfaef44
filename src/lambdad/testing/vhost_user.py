"""As much of a vhost-user front-end as asks a block device what it is. Source: QEMU's docs/interop/vhost-user.rst."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("<III")
_CONFIG = struct.Struct("<III")
_VERSION = 1
_GET_FEATURES, _GET_CONFIG = 1, 24
_READ_ONLY = 1 << 5
"""The feature VIRTIO_BLK_F_RO."""
_SECTOR = 512
_CONFIG_SIZE = 60
"""Of `struct virtio_blk_config` up to what every device has."""
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Device:
    """size: bytes."""

    size: int
    is_read_only: bool


def look_at(path: Path) -> Device:
    """The device at this socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(_DEADLINE_S)
        connection.connect(str(path))
        (features,) = struct.unpack("<Q", _ask(connection, _GET_FEATURES, b""))
        config = _ask(connection, _GET_CONFIG, _CONFIG.pack(0, _CONFIG_SIZE, 0) + bytes(_CONFIG_SIZE))
    (sectors,) = struct.unpack_from("<Q", config, _CONFIG.size)
    return Device(sectors * _SECTOR, bool(features & _READ_ONLY))


def _ask(connection: socket.socket, request: int, body: bytes) -> bytes:
    connection.sendall(_HEADER.pack(request, _VERSION, len(body)) + body)
    answered, _, size = _HEADER.unpack(_receive(connection, _HEADER.size))
    assert answered == request
    return _receive(connection, size)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the device closed the connection"
        data += piece
    return data
