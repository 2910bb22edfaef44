"""The server's side of the NBD protocol as a state machine. Sans-IO: bytes in, requests and bytes out.

Fixed newstyle only, structured replies, `base:allocation`. Source: the protocol document of the NetworkBlockDevice
project. A client may send anything: every length is checked before anything is kept, and what breaks the protocol ends
the connection with `NbdViolation`, never with another exception.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from lambdad.block.interface import Extent

READ_MAX = 32 * 1024 * 1024
"""Bytes of one read or write; announced as the maximum block size, as qemu and nbdkit do."""
NAME_MAX = 4096
OPTION_MAX = 64 * 1024
"""Bytes of one option of the handshake."""
OPTIONS_MAX = 64
"""Options of one handshake: a client that haggles for longer is not one."""

ALLOCATION = "base:allocation"
_CONTEXT_ID = 1

_INIT = b"NBDMAGIC"
_OPTION_MAGIC = b"IHAVEOPT"
_OPTION_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC = 0x25609513
_SIMPLE_MAGIC = 0x67446698
_STRUCTURED_MAGIC = 0x668E33EF

_OPTION = struct.Struct(">8sII")
_REQUEST = struct.Struct(">IHHQQI")
_SIMPLE = struct.Struct(">IIQ")
_CHUNK = struct.Struct(">IHHQI")

_ACK, _SERVER, _INFO, _META_CONTEXT = 1, 2, 3, 4
_ERR_UNSUP, _ERR_POLICY, _ERR_INVALID, _ERR_TLS_REQUIRED, _ERR_UNKNOWN, _ERR_TOO_BIG = (
    0x80000001,
    0x80000002,
    0x80000003,
    0x80000005,
    0x80000006,
    0x80000009,
)
_INFO_EXPORT, _INFO_NAME, _INFO_DESCRIPTION, _INFO_BLOCK_SIZE = 0, 1, 2, 3

_CHUNK_DONE = 1
_CHUNK_NONE, _CHUNK_DATA, _CHUNK_HOLE, _CHUNK_STATUS, _CHUNK_ERROR = 0, 1, 2, 5, 0x8001

_STATE_HOLE_ZERO = 3

_FLAG_FUA, _FLAG_NO_HOLE, _FLAG_DF, _FLAG_ONE, _FLAG_FAST = 1, 2, 4, 8, 16


class _Option(IntEnum):
    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class _Command(IntEnum):
    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class NbdError(IntEnum):
    """Error numbers of replies."""

    PERMISSION = 1
    IO = 5
    MEMORY = 12
    INVALID = 22
    NO_SPACE = 28
    OVERFLOW = 75
    NOT_SUPPORTED = 95
    SHUTDOWN = 108


class NbdViolation(Exception):
    """The client broke the protocol, or wants what cannot be negotiated: close the connection."""


class TlsPolicy(Enum):
    NONE = "none"
    OFFERED = "offered"
    REQUIRED = "required"


class Access(Enum):
    """What an export allows."""

    READ_ONLY = "read only"
    COPY_ON_WRITE = "copy on write"


@dataclass(frozen=True, slots=True)
class Export:
    """size: bytes."""

    size: int
    access: Access = Access.READ_ONLY
    description: str = ""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Send what is to send, then begin TLS as server, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The handshake is over: requests for the export follow."""

    export: str


@dataclass(frozen=True, slots=True)
class Read:
    cookie: int
    offset: int
    length: int
    is_whole: bool
    """The client wants the data in one piece (DF)."""


@dataclass(frozen=True, slots=True)
class Write:
    cookie: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class WriteZeros:
    """Also what TRIM asks for: after either the range reads as zeros."""

    cookie: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Flush:
    cookie: int


@dataclass(frozen=True, slots=True)
class Cache:
    """Bring the range into memory."""

    cookie: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class BlockStatus:
    """only_one: the client wants one extent."""

    cookie: int
    offset: int
    length: int
    only_one: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The client said good-bye. Answer what is under way, then close."""


Request = Read | Write | WriteZeros | Flush | Cache | BlockStatus
Event = StartTls | Selected | Disconnected | Request


class _Phase(Enum):
    FLAGS = "flags"
    OPTIONS = "options"
    TLS = "tls"
    REQUESTS = "requests"
    CLOSED = "closed"


class NbdMachine:
    """One connection. Feed `receive`, send `take`, answer requests with the `reply_` methods in any order."""

    def __init__(self, exports: Mapping[str, Export], tls: TlsPolicy = TlsPolicy.NONE) -> None:
        self._exports = exports
        self._tls = tls
        self._is_encrypted = False
        self._phase = _Phase.FLAGS
        self._buffer = bytearray()
        self._out: list[bytes | memoryview] = []
        self._options = 0
        self._no_zeroes = False
        self._structured = False
        self._context_for: str | None = None
        self._export = Export(0)
        self._out.append(_INIT + _OPTION_MAGIC + struct.pack(">H", 3))

    @property
    def is_over(self) -> bool:
        return self._phase is _Phase.CLOSED

    def take(self) -> list[bytes | memoryview]:
        """Buffers to send, in order."""
        out, self._out = self._out, []
        return out

    def tls_started(self) -> None:
        """TLS is up: the handshake starts over inside it, as the protocol demands."""
        assert self._phase is _Phase.TLS
        self._phase = _Phase.OPTIONS
        self._is_encrypted = True
        self._structured = False
        self._context_for = None

    def receive(self, data: bytes) -> list[Event]:
        """Raises `NbdViolation`; the connection is over then."""
        self._buffer += data
        events: list[Event] = []
        try:
            while (step := self._step(events)) is not None:
                del self._buffer[:step]
        except NbdViolation:
            self._phase = _Phase.CLOSED
            raise
        return events

    def _step(self, events: list[Event]) -> int | None:
        """Handle one unit at the start of the buffer: its length, or None if it is not complete."""
        match self._phase:
            case _Phase.FLAGS:
                return self._client_flags()
            case _Phase.OPTIONS:
                return self._option(events)
            case _Phase.TLS:
                if self._buffer:
                    # Anything here was sent in the clear after STARTTLS: an injection, or a broken client.
                    raise NbdViolation("bytes between STARTTLS and its answer")
                return None
            case _Phase.REQUESTS:
                return self._request(events)
            case _Phase.CLOSED:
                self._buffer.clear()
                return None

    # --- handshake

    def _client_flags(self) -> int | None:
        if len(self._buffer) < 4:
            return None
        (flags,) = struct.unpack_from(">I", self._buffer)
        if flags & ~3 or not flags & 1:
            raise NbdViolation(f"client flags {flags:#x}: only fixed newstyle is spoken here")
        self._no_zeroes = bool(flags & 2)
        self._phase = _Phase.OPTIONS
        return 4

    def _option(self, events: list[Event]) -> int | None:
        if len(self._buffer) < _OPTION.size:
            return None
        magic, number, length = _OPTION.unpack_from(self._buffer)
        if magic != _OPTION_MAGIC:
            raise NbdViolation("an option does not begin with its magic")
        if length > OPTION_MAX:
            raise NbdViolation(f"an option of {length} bytes")
        size: int = _OPTION.size + length
        if len(self._buffer) < size:
            return None
        self._options += 1
        if self._options > OPTIONS_MAX:
            raise NbdViolation("too many options")
        data = bytes(self._buffer[_OPTION.size : size])
        needs_tls = self._tls is TlsPolicy.REQUIRED and not self._is_encrypted
        if number == _Option.EXPORT_NAME:
            if needs_tls:
                raise NbdViolation("an export was asked for without TLS")
            self._select_old_style(data, events)
        elif needs_tls and number not in (_Option.STARTTLS, _Option.ABORT):
            self._refuse(number, _ERR_TLS_REQUIRED, "this server wants TLS first")
        else:
            self._negotiate(number, data, events)
        return size

    def _negotiate(self, number: int, data: bytes, events: list[Event]) -> None:
        match number:
            case _Option.ABORT:
                self._answer(number, _ACK)
                self._phase = _Phase.CLOSED
                events.append(Disconnected())
            case _Option.LIST:
                self._list(data)
            case _Option.STARTTLS:
                self._start_tls(data, events)
            case _Option.INFO | _Option.GO:
                self._info(number, data, events)
            case _Option.STRUCTURED_REPLY:
                if data:
                    self._refuse(number, _ERR_INVALID, "STRUCTURED_REPLY has no data")
                else:
                    self._structured = True
                    self._answer(number, _ACK)
            case _Option.LIST_META_CONTEXT | _Option.SET_META_CONTEXT:
                self._meta_context(number, data)
            case _:
                self._refuse(number, _ERR_UNSUP, "unknown option")

    def _list(self, data: bytes) -> None:
        if data:
            self._refuse(_Option.LIST, _ERR_INVALID, "LIST has no data")
            return
        for name in self._exports:
            encoded = name.encode()
            self._answer(_Option.LIST, _SERVER, struct.pack(">I", len(encoded)) + encoded)
        self._answer(_Option.LIST, _ACK)

    def _start_tls(self, data: bytes, events: list[Event]) -> None:
        if data:
            self._refuse(_Option.STARTTLS, _ERR_INVALID, "STARTTLS has no data")
        elif self._tls is TlsPolicy.NONE:
            self._refuse(_Option.STARTTLS, _ERR_POLICY, "this server has no TLS")
        elif self._is_encrypted:
            self._refuse(_Option.STARTTLS, _ERR_INVALID, "TLS is on already")
        else:
            self._answer(_Option.STARTTLS, _ACK)
            self._phase = _Phase.TLS
            events.append(StartTls())

    def _select_old_style(self, data: bytes, events: list[Event]) -> None:
        name = _decode_name(data)
        export = None if name is None else self._exports.get(name)
        if name is None or export is None:
            raise NbdViolation(f"there is no export {name!r}")  # the option has no error reply
        self._out.append(struct.pack(">QH", export.size, self._transmission_flags(export)))
        if not self._no_zeroes:
            self._out.append(bytes(124))
        self._enter(name, export, events)

    def _info(self, number: int, data: bytes, events: list[Event]) -> None:
        parsed = _parse_info(data)
        if parsed is None:
            self._refuse(number, _ERR_INVALID, "malformed request for information")
            return
        name, wanted = parsed
        export = self._exports.get(name)
        if export is None:
            self._refuse(number, _ERR_UNKNOWN, f"there is no export {name!r}")
            return
        flags = self._transmission_flags(export)
        self._answer(number, _INFO, struct.pack(">HQH", _INFO_EXPORT, export.size, flags))
        if _INFO_NAME in wanted:
            self._answer(number, _INFO, struct.pack(">H", _INFO_NAME) + name.encode())
        if _INFO_DESCRIPTION in wanted and export.description:
            self._answer(number, _INFO, struct.pack(">H", _INFO_DESCRIPTION) + export.description.encode()[:NAME_MAX])
        self._answer(number, _INFO, struct.pack(">HIII", _INFO_BLOCK_SIZE, 1, 4096, READ_MAX))
        self._answer(number, _ACK)
        if number == _Option.GO:
            self._enter(name, export, events)

    def _meta_context(self, number: int, data: bytes) -> None:
        parsed = _parse_queries(data)
        if parsed is None:
            self._refuse(number, _ERR_INVALID, "malformed query for contexts")
            return
        name, queries = parsed
        if number == _Option.SET_META_CONTEXT:
            self._context_for = None
            if not self._structured:
                self._refuse(number, _ERR_INVALID, "contexts need structured replies")
                return
        if name not in self._exports:
            self._refuse(number, _ERR_UNKNOWN, f"there is no export {name!r}")
            return
        wanted = (ALLOCATION,) if number == _Option.SET_META_CONTEXT else (ALLOCATION, "base:")
        lists_all = number == _Option.LIST_META_CONTEXT and not queries
        if lists_all or any(query in wanted for query in queries):
            context_id = 0 if number == _Option.LIST_META_CONTEXT else _CONTEXT_ID
            self._answer(number, _META_CONTEXT, struct.pack(">I", context_id) + ALLOCATION.encode())
            if number == _Option.SET_META_CONTEXT:
                self._context_for = name
        self._answer(number, _ACK)

    def _enter(self, name: str, export: Export, events: list[Event]) -> None:
        self._export = export
        if self._context_for != name:
            self._context_for = None
        self._phase = _Phase.REQUESTS
        events.append(Selected(name))

    def _transmission_flags(self, export: Export) -> int:
        flags = 0x1 | 0x4 | 0x8 | 0x400  # has flags, FLUSH, FUA, CACHE
        if self._structured:
            flags |= 0x80  # DF
        if export.access is Access.READ_ONLY:
            return flags | 0x2 | 0x100  # read-only; several connections see the same
        return flags | 0x20 | 0x40 | 0x800  # TRIM, WRITE_ZEROES, FAST_ZERO

    def _answer(self, option: int, kind: int, data: bytes = b"") -> None:
        self._out.append(struct.pack(">QIII", _OPTION_REPLY_MAGIC, option, kind, len(data)) + data)

    def _refuse(self, option: int, kind: int, reason: str) -> None:
        self._answer(option, kind, reason.encode())

    # --- requests

    def _request(self, events: list[Event]) -> int | None:
        if len(self._buffer) < _REQUEST.size:
            return None
        magic, flags, command, cookie, offset, length = _REQUEST.unpack_from(self._buffer)
        if magic != _REQUEST_MAGIC:
            raise NbdViolation("a request does not begin with its magic")
        size: int = _REQUEST.size
        if command == _Command.WRITE:
            if length > READ_MAX:
                raise NbdViolation(f"a write of {length} bytes")
            size += length
            if len(self._buffer) < size:
                return None
        if command == _Command.DISCONNECT:
            self._phase = _Phase.CLOSED
            events.append(Disconnected())
            return size
        error = self._check(command, flags, offset, length)
        if error is not None:
            self.reply_error(cookie, *error)
            return size
        events.append(self._event(command, flags, cookie, offset, length))
        return size

    def _event(self, command: int, flags: int, cookie: int, offset: int, length: int) -> Request:
        match command:
            case _Command.READ:
                return Read(cookie, offset, length, bool(flags & _FLAG_DF))
            case _Command.WRITE:
                return Write(cookie, offset, bytes(self._buffer[_REQUEST.size : _REQUEST.size + length]))
            case _Command.TRIM | _Command.WRITE_ZEROES:
                return WriteZeros(cookie, offset, length)
            case _Command.FLUSH:
                return Flush(cookie)
            case _Command.CACHE:
                return Cache(cookie, offset, length)
            case _:
                return BlockStatus(cookie, offset, length, bool(flags & _FLAG_ONE))

    def _check(self, command: int, flags: int, offset: int, length: int) -> tuple[NbdError, str] | None:
        allowed = _ALLOWED_FLAGS.get(command)
        if allowed is None:
            return NbdError.INVALID, f"unknown command {command}"
        if flags & ~allowed or (flags & _FLAG_DF and not self._structured):
            return NbdError.INVALID, f"flags {flags:#x} do not go with command {command}"
        if command == _Command.FLUSH:
            return None if (offset, length) == (0, 0) else (NbdError.INVALID, "FLUSH has no range")
        is_write = command in (_Command.WRITE, _Command.TRIM, _Command.WRITE_ZEROES)
        if is_write and self._export.access is Access.READ_ONLY:
            return NbdError.PERMISSION, "the export is read-only"
        if length == 0 or offset + length > self._export.size:
            # The protocol's choice: there is no room for data, but nothing to be made room for by a TRIM.
            needs_room = command in (_Command.WRITE, _Command.WRITE_ZEROES) and length
            kind = NbdError.NO_SPACE if needs_room else NbdError.INVALID
            return kind, f"{length} bytes at {offset} are not inside the export of {self._export.size} bytes"
        if command == _Command.READ and length > READ_MAX:
            return NbdError.OVERFLOW, f"at most {READ_MAX} bytes in one read"
        if command == _Command.BLOCK_STATUS and self._context_for is None:
            return NbdError.INVALID, "no context was negotiated"
        return None

    # --- replies

    def reply_ok(self, cookie: int) -> None:
        """To writes, zeros, flushes and cache requests."""
        if self._structured:
            self._out.append(_CHUNK.pack(_STRUCTURED_MAGIC, _CHUNK_DONE, _CHUNK_NONE, cookie, 0))
        else:
            self._out.append(_SIMPLE.pack(_SIMPLE_MAGIC, 0, cookie))

    def reply_error(self, cookie: int, error: NbdError, message: str) -> None:
        if not self._structured:
            self._out.append(_SIMPLE.pack(_SIMPLE_MAGIC, error, cookie))
            return
        text = message.encode()[:NAME_MAX]
        body = struct.pack(">IH", error, len(text)) + text
        self._out.append(_CHUNK.pack(_STRUCTURED_MAGIC, _CHUNK_DONE, _CHUNK_ERROR, cookie, len(body)) + body)

    def reply_data(self, cookie: int, offset: int, pieces: Sequence[bytes | memoryview]) -> None:
        """A whole read, data only."""
        length = sum(len(piece) for piece in pieces)
        if self._structured:
            header = _CHUNK.pack(_STRUCTURED_MAGIC, _CHUNK_DONE, _CHUNK_DATA, cookie, length + 8)
            self._out.append(header + struct.pack(">Q", offset))
        else:
            self._out.append(_SIMPLE.pack(_SIMPLE_MAGIC, 0, cookie))
        self._out += pieces

    def can_reply_holes(self, read: Read) -> bool:
        """Whether a part of the answer may say "zeros" instead of sending them."""
        return self._structured and not read.is_whole

    def reply_part(self, cookie: int, offset: int, part: Extent | bytes, *, is_last: bool) -> None:
        """One part of a read: data, or an extent of zeros. Only if `can_reply_holes`."""
        flags = _CHUNK_DONE if is_last else 0
        if isinstance(part, Extent):
            header = _CHUNK.pack(_STRUCTURED_MAGIC, flags, _CHUNK_HOLE, cookie, 12)
            self._out.append(header + struct.pack(">QI", offset, part.length))
        else:
            header = _CHUNK.pack(_STRUCTURED_MAGIC, flags, _CHUNK_DATA, cookie, len(part) + 8)
            self._out += (header + struct.pack(">Q", offset), part)

    def reply_status(self, request: BlockStatus, extents: Iterable[Extent]) -> None:
        """What of the range is zeros. Extents must not be longer than the range when one was asked for."""
        body = bytearray(struct.pack(">I", _CONTEXT_ID))
        for extent in extents:
            body += struct.pack(">II", extent.length, _STATE_HOLE_ZERO if extent.is_zero else 0)
            if request.only_one or len(body) >= OPTION_MAX:
                break
        header = _CHUNK.pack(_STRUCTURED_MAGIC, _CHUNK_DONE, _CHUNK_STATUS, request.cookie, len(body))
        self._out.append(header + bytes(body))


_ALLOWED_FLAGS: Mapping[int, int] = {
    _Command.READ: _FLAG_FUA | _FLAG_DF,
    _Command.WRITE: _FLAG_FUA,
    _Command.FLUSH: _FLAG_FUA,
    _Command.TRIM: _FLAG_FUA,
    _Command.CACHE: _FLAG_FUA,
    _Command.WRITE_ZEROES: _FLAG_FUA | _FLAG_NO_HOLE | _FLAG_FAST,
    _Command.BLOCK_STATUS: _FLAG_FUA | _FLAG_ONE,
}


def _decode_name(data: bytes) -> str | None:
    if len(data) > NAME_MAX:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _parse_info(data: bytes) -> tuple[str, frozenset[int]] | None:
    if len(data) < 6:
        return None
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 6:
        return None
    name = _decode_name(data[4 : 4 + length])
    (count,) = struct.unpack_from(">H", data, 4 + length)
    if name is None or len(data) != 6 + length + 2 * count:
        return None
    return name, frozenset(struct.unpack_from(f">{count}H", data, 6 + length))


def _parse_queries(data: bytes) -> tuple[str, list[str]] | None:
    fields: list[str] = []
    offset, count = 0, 0
    try:
        while offset < len(data):
            if len(fields) == 1 and not count:
                (count,) = struct.unpack_from(">I", data, offset)
                offset += 4
                if count == 0 or count > OPTION_MAX // 4:
                    break
                continue
            (length,) = struct.unpack_from(">I", data, offset)
            text = _decode_name(data[offset + 4 : offset + 4 + length])
            if text is None or len(data) - offset - 4 < length:
                return None
            fields.append(text)
            offset += 4 + length
            if len(fields) > count + 1:
                return None
    except struct.error:
        return None
    if offset != len(data) or len(fields) != count + 1:
        return None
    return fields[0], fields[1:]
