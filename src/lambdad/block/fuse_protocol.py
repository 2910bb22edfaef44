"""The part of the kernel's FUSE protocol (7.31 and later) that a single read-only file needs. Pure: bytes ↔ values.

Source: include/uapi/linux/fuse.h. The mounted tree *is* one regular file (`rootmode=100444`): no directory, no lookup,
no name. Opens need no message either (FUSE_NO_OPEN_SUPPORT), and the page cache is kept between them.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from enum import IntEnum

ROOT_ID = 1
READ_MAX = 1024 * 1024
"""Bytes of one read: the kernel's limit of 256 pages."""
BUFFER_SIZE = 64 * 1024
"""For one request: the kernel wants room for `max_write`, which is 4 KiB here, and at least 8 KiB."""
RESENT = 1 << 63
"""Set in `unique` of a request that another agent had taken and not answered."""

_ATTRIBUTES_VALID_S = 86_400

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_INIT_IN = struct.Struct("<IIII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHIIHH5I")
_READ_IN = struct.Struct("<QQIIQII")
_ATTR_OUT = struct.Struct("<QII")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_INTERRUPT_IN = struct.Struct("<Q")
_STATFS_OUT = struct.Struct("<QQQQQIIII6I")

_FLAG_ASYNC_READ = 1 << 0
_FLAG_NO_OPEN = 1 << 17
_FLAG_MAX_PAGES = 1 << 22
_FLAG_EXT = 1 << 30
_FLAG2_HAS_RESEND = 1 << (39 - 32)

_NOTIFY_RESEND = 7


class Opcode(IntEnum):
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    INIT = 26
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


class FuseViolation(Exception):
    """The kernel sent something that cannot be: a bug, or not a FUSE descriptor."""


@dataclass(frozen=True, slots=True)
class Init:
    unique: int
    major: int
    minor: int
    max_readahead: int
    flags: int
    flags2: int

    @property
    def can_resend(self) -> bool:
        """Whether the kernel (6.9) can be asked to send again what a dead agent took."""
        return bool(self.flags & _FLAG_EXT and self.flags2 & _FLAG2_HAS_RESEND)


@dataclass(frozen=True, slots=True)
class Read:
    unique: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class GetAttributes:
    unique: int


@dataclass(frozen=True, slots=True)
class StatFileSystem:
    unique: int


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The caller of another request got a signal: answer that one with EINTR. This one is not answered."""

    target: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """Needs no answer."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Answer ENOSYS; for OPEN, the kernel understands that it need not ask."""

    unique: int
    opcode: int


Request = Init | Read | GetAttributes | StatFileSystem | Interrupt | Ignored | Unsupported


def parse_request(data: bytes | bytearray | memoryview) -> Request:
    """One request as read from the descriptor. Raises `FuseViolation`."""
    if len(data) < _IN.size:
        raise FuseViolation(f"a request of {len(data)} bytes")
    length, opcode, unique, *_ = _IN.unpack_from(data)
    if length != len(data):
        raise FuseViolation(f"a request of {len(data)} bytes that says {length}")
    try:
        match opcode:
            case Opcode.READ:
                _, offset, size, *_ = _READ_IN.unpack_from(data, _IN.size)
                return Read(unique, offset, size)
            case Opcode.GETATTR:
                return GetAttributes(unique)
            case Opcode.STATFS:
                return StatFileSystem(unique)
            case Opcode.INTERRUPT:
                return Interrupt(_INTERRUPT_IN.unpack_from(data, _IN.size)[0])
            case Opcode.FORGET | Opcode.BATCH_FORGET | Opcode.DESTROY:
                return Ignored()
            case Opcode.INIT:
                major, minor, readahead, flags = _INIT_IN.unpack_from(data, _IN.size)
                has_more = flags & _FLAG_EXT and len(data) >= _IN.size + _INIT_IN.size + 4
                flags2 = struct.unpack_from("<I", data, _IN.size + _INIT_IN.size)[0] if has_more else 0
                return Init(unique, major, minor, readahead, flags, flags2)
            case _:
                return Unsupported(unique, opcode)
    except struct.error as error:
        raise FuseViolation(f"operation {opcode} is too short") from error


def reply_init(init: Init) -> bytes:
    """Raises `FuseViolation` if the kernel is too old (before 5.4)."""
    if init.major != 7 or init.minor < 31:
        raise FuseViolation(f"FUSE {init.major}.{init.minor} of this kernel is too old: 7.31 (Linux 5.4) is needed")
    flags = init.flags & (_FLAG_ASYNC_READ | _FLAG_NO_OPEN | _FLAG_MAX_PAGES | _FLAG_EXT)
    flags2 = init.flags2 & _FLAG2_HAS_RESEND
    body = _INIT_OUT.pack(
        7,
        min(init.minor, 38),
        max(init.max_readahead, READ_MAX),
        flags,
        64,  # max_background
        48,  # congestion_threshold
        4096,  # max_write
        1,  # time_gran
        READ_MAX // 4096,
        0,
        flags2,
        0,
        0,
        0,
        *(0,) * 5,
    )
    return reply_header(init.unique, len(body)) + body


def reply_attributes(unique: int, size: int) -> bytes:
    attributes = _ATTR.pack(ROOT_ID, size, -(-size // 512), 0, 0, 0, 0, 0, 0, 0o100444, 1, 0, 0, 0, 4096, 0)
    body = _ATTR_OUT.pack(_ATTRIBUTES_VALID_S, 0, 0) + attributes
    return reply_header(unique, len(body)) + body


def reply_statfs(unique: int, size: int) -> bytes:
    body = _STATFS_OUT.pack(-(-size // 4096), 0, 0, 1, 0, 4096, 255, 4096, 0, *(0,) * 6)
    return reply_header(unique, len(body)) + body


def reply_header(unique: int, length: int) -> bytes:
    """What comes before `length` bytes of a good answer."""
    return _OUT.pack(_OUT.size + length, 0, unique)


def reply_error(unique: int, number: int) -> bytes:
    """number: an errno, positive."""
    return _OUT.pack(_OUT.size, -number, unique)


def reply_unsupported(request: Unsupported) -> bytes:
    return reply_error(request.unique, errno.ENOSYS)


def notify_resend() -> bytes:
    """Asks the kernel to send again every request that was read and not answered."""
    return _OUT.pack(_OUT.size, _NOTIFY_RESEND, 0)
