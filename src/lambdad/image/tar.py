"""A tar stream, entry by entry: ustar, GNU and pax, as container layers use them.

Reads forward only and never touches the file system. Everything in the stream is hostile: numbers, names and sizes
are checked here, so what comes out is safe to put into a `Tree`. Source of the layouts: POSIX.1-2017 `pax`, the GNU
tar manual ("Basic Tar Format", "Sparse Formats"), and the OCI image specification ("layer.md") for whiteouts.
"""

from __future__ import annotations

import base64
import binascii
import stat
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_to_bytes

from lambdad.image.errors import ImageTooLarge, InvalidImage
from lambdad.image.limits import NAME_MAX, PATH_MAX, Limits
from lambdad.image.tree import Attributes, Xattrs

BLOCK = 512
_NANO = 1_000_000_000
_TIME_MIN, _TIME_MAX = -(1 << 31), (1 << 33) - 1
"""Seconds; what both the ext4 inode and 64 bits of nanoseconds can hold. Others are clamped."""
_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_XATTR_PAX = b"SCHILY.xattr."
_XATTR_LIBARCHIVE = b"LIBARCHIVE.xattr."


class Kind(Enum):
    """What an entry asks for."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    FIFO = "fifo"
    WHITEOUT = "whiteout"
    OPAQUE = "opaque directory"


@dataclass(slots=True)
class Entry:
    """One entry of a layer.

    path: components, none of them empty, `.` or `..`; () is the root. For a whiteout the hidden path, for an opaque
    marker the directory. target: of a symlink, verbatim. link_path: of a hard link, components.
    size: apparent bytes of a file. segments: data of a sparse file as offset, length pairs; None if it has no holes.
    """

    kind: Kind
    path: tuple[bytes, ...]
    attributes: Attributes
    size: int = 0
    target: bytes = b""
    link_path: tuple[bytes, ...] = ()
    segments: array[int] | None = None


class _Window:
    """Forward reading over pieces: exact takes for headers, views for contents."""

    __slots__ = ("_data", "_limit", "_pieces", "_position", "read")

    def __init__(self, pieces: Iterator[bytes], limit: int) -> None:
        self._pieces = pieces
        self._data = b""
        self._position = 0
        self._limit = limit
        self.read = 0

    def _refill(self) -> bool:
        data = next(self._pieces, None)
        if data is None:
            return False
        self.read += len(data)
        if self.read > self._limit:
            raise ImageTooLarge(f"the layers hold more than {self._limit} bytes: over the size limit of an image")
        self._data, self._position = data, 0
        return True

    def take(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end of the stream."""
        end = self._position + size
        if end <= len(self._data):
            found = self._data[self._position : end]
            self._position = end
            return found
        parts = [self._data[self._position :]]
        missing = size - len(parts[0])
        self._position = len(self._data)
        while missing and self._refill():
            part = self._data[:missing]
            self._position = len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def pour(self, size: int, write: Callable[[memoryview], object]) -> None:
        """Hand the next `size` bytes on. Raises InvalidImage if the stream has fewer."""
        while size:
            if self._position == len(self._data) and not self._refill():
                raise InvalidImage("a layer's tar ends in the middle of a file: the archive was cut")
            part = memoryview(self._data)[self._position : self._position + size]
            write(part)
            self._position += len(part)
            size -= len(part)

    def drain(self) -> None:
        """Read to the end: digests cover what stands behind the end of the archive too."""
        while self._refill():
            pass


def _ignore(_: memoryview) -> None:
    return None


class TarReader:
    """Entries of one layer. After each entry, `pour` its content or go on; what was not poured is skipped."""

    def __init__(self, pieces: Iterator[bytes], limits: Limits) -> None:
        self._window = _Window(pieces, limits.stream_bytes)
        self._limits = limits
        self._global: dict[bytes, bytes] = {}
        self._stored = 0
        self._padding = 0

    @property
    def bytes_read(self) -> int:
        """Uncompressed bytes of the stream so far."""
        return self._window.read

    def pour(self, write: Callable[[memoryview], object]) -> None:
        """Hand the content of the current file to `write`, in pieces that are valid only during the call.

        For a sparse file, its data segments back to back.
        """
        size, self._stored = self._stored, 0
        self._window.pour(size, write)

    def __iter__(self) -> Iterator[Entry]:
        empty = 0
        while True:
            self._window.pour(self._stored + self._padding, _ignore)
            self._stored = self._padding = 0
            header = self._window.take(BLOCK)
            if not header.strip(b"\0"):
                empty += 1
                if empty == 2 or len(header) < BLOCK:
                    break
                continue
            if len(header) < BLOCK:
                raise InvalidImage("a layer's tar ends in the middle of a header: the archive was cut")
            empty = 0
            entry = self._entry(header)
            if entry is not None:
                yield entry
        self._window.drain()

    def _entry(self, header: bytes) -> Entry | None:
        """The entry that starts with this header, its extensions consumed; None for what is not a file."""
        pax: dict[bytes, bytes] = dict(self._global)
        sparse_pairs: list[bytes] = []
        long_name = long_link = None
        extra = 0
        while True:
            _verify(header)
            kind = header[156:157]
            size = _number(header, 124, 12)
            if kind not in b"xgLK" or kind == b"":
                break
            extra += size
            if extra > self._limits.header_bytes:
                raise ImageTooLarge(f"a tar entry has more than {self._limits.header_bytes} bytes of extended headers")
            data = self._window.take(size)
            self._window.take(-size % BLOCK)
            if len(data) < size:
                raise InvalidImage("a layer's tar ends in the middle of an extended header: the archive was cut")
            if kind == b"x":
                _parse_pax(data, pax, sparse_pairs)
            elif kind == b"g":
                _parse_pax(data, self._global, [])
                if sum(map(len, self._global.values())) > self._limits.header_bytes:
                    raise ImageTooLarge("a tar has too many global extended headers")
                pax = dict(self._global)
            elif kind == b"L":
                long_name = data.rstrip(b"\0")
            else:
                long_link = data.rstrip(b"\0")
            header = self._window.take(BLOCK)
            if len(header) < BLOCK:
                raise InvalidImage("a layer's tar ends behind an extended header: the archive was cut")
        return self._file(header, kind, size, pax, sparse_pairs, long_name, long_link)

    def _file(
        self,
        header: bytes,
        kind: bytes,
        size: int,
        pax: dict[bytes, bytes],
        sparse_pairs: list[bytes],
        long_name: bytes | None,
        long_link: bytes | None,
    ) -> Entry | None:
        name = long_name if long_name is not None else _name(header)
        link = long_link if long_link is not None else header[157:257].split(b"\0", 1)[0]
        mode, uid, gid = _number(header, 100, 8) & 0o7777, _number(header, 108, 8), _number(header, 116, 8)
        mtime = _number(header, 136, 12) * _NANO
        xattrs: Xattrs = ()
        if pax:
            name, link = pax.get(b"path", name), pax.get(b"linkpath", link)
            size = _decimal(pax, b"size", size)
            uid, gid = _decimal(pax, b"uid", uid), _decimal(pax, b"gid", gid)
            mtime = _pax_time(pax[b"mtime"]) if b"mtime" in pax else mtime
            xattrs = _xattrs(pax, self._limits)
            name = pax.get(b"GNU.sparse.name", name)
        if not (0 <= uid < 0xFFFFFFFF and 0 <= gid < 0xFFFFFFFF):
            raise InvalidImage(f"{_show(name)} has an owner beyond 32 bits: {uid}:{gid}")
        if size < 0:
            raise InvalidImage(f"{_show(name)} has a negative size")
        mtime = min(max(mtime, _TIME_MIN * _NANO), _TIME_MAX * _NANO + _NANO - 1)

        def attributes(type_bits: int) -> Attributes:
            return Attributes(type_bits | mode, uid, gid, mtime, xattrs)

        match kind:
            case b"0" | b"\0" | b"7" if not name.endswith(b"/"):
                return self._regular(name, attributes(stat.S_IFREG), size, pax, sparse_pairs)
            case b"S":
                return self._gnu_sparse(header, name, attributes(stat.S_IFREG), size)
            case b"5" | b"0" | b"\0" | b"7":
                self._content(size)
                return Entry(Kind.DIRECTORY, self._path(name), attributes(stat.S_IFDIR))
            case b"1":
                self._content(size)
                return self._named(Kind.HARDLINK, name, attributes(stat.S_IFREG), link_path=self._path(link))
            case b"2":
                self._content(size)
                _check_target(name, link)
                return self._named(Kind.SYMLINK, name, attributes(stat.S_IFLNK), target=link, size=len(link))
            case b"6":
                self._content(size)
                return self._named(Kind.FIFO, name, attributes(stat.S_IFIFO))
            case b"3" | b"4":
                raise InvalidImage(f"{_show(name)} is a device node: images of functions may not have any")
            case b"V":
                self._content(size)
                return None
            case _:
                raise InvalidImage(f"{_show(name)} has the tar entry type {kind!r}, which layers do not have")

    def _content(self, size: int) -> None:
        self._stored, self._padding = size, -size % BLOCK

    def _regular(
        self, name: bytes, attributes: Attributes, size: int, pax: dict[bytes, bytes], pairs: list[bytes]
    ) -> Entry:
        self._content(size)
        if pax.get(b"GNU.sparse.major") == b"1":
            real = _decimal(pax, b"GNU.sparse.realsize", -1)
            return self._sparse(name, attributes, real, self._sparse_map_in_data(size))
        if b"GNU.sparse.size" in pax:
            numbers = pax[b"GNU.sparse.map"].split(b",") if pax.get(b"GNU.sparse.map") else pairs
            return self._sparse(name, attributes, _decimal(pax, b"GNU.sparse.size", -1), numbers)
        return self._named(Kind.FILE, name, attributes, size=size)

    def _sparse_map_in_data(self, size: int) -> list[bytes]:
        """Sparse format 1.0: decimal lines before the data, padded to a block."""
        lines: list[bytes] = []
        text = b""
        wanted = 1
        while len(lines) < wanted:
            if len(text) >= self._limits.header_bytes or self._stored < BLOCK:
                raise InvalidImage("a sparse file's map is damaged")
            text = text[text.rfind(b"\n") + 1 :] + self._window.take(BLOCK)
            self._stored -= BLOCK
            lines += text.split(b"\n")[:-1]
            wanted = 1 + 2 * _plain_decimal(lines[0]) if lines else 1
            if wanted > 2 * self._limits.sparse_segments + 1:
                raise ImageTooLarge("a sparse file has too many segments")
        return lines[1:wanted]

    def _gnu_sparse(self, header: bytes, name: bytes, attributes: Attributes, size: int) -> Entry:
        """GNU's old sparse format: four segments in the header, more in blocks behind it."""
        numbers: list[int] = []

        def collect(block: bytes, start: int, count: int) -> None:
            for at in range(start, start + 24 * count, 24):
                if block[at : at + 12].strip(b"\0 "):
                    numbers.extend((_number(block, at, 12), _number(block, at + 12, 12)))

        collect(header, 386, 4)
        real, more = _number(header, 483, 12), header[482] != 0
        while more:
            block = self._window.take(BLOCK)
            if len(block) < BLOCK or len(numbers) > 2 * self._limits.sparse_segments:
                raise InvalidImage(f"{_show(name)}: its sparse map is damaged")
            collect(block, 0, 21)
            more = block[504] != 0
        self._content(size)
        return self._sparse(name, attributes, real, numbers)

    def _sparse(self, name: bytes, attributes: Attributes, size: int, numbers: list[bytes] | list[int]) -> Entry:
        values = [n if isinstance(n, int) else _plain_decimal(n) for n in numbers]
        if size > self._limits.sparse_size:
            raise ImageTooLarge(f"{_show(name)} is a sparse file of {size} bytes: over {self._limits.sparse_size}")
        if len(values) % 2 or len(values) > 2 * self._limits.sparse_segments:
            raise InvalidImage(f"{_show(name)}: its sparse map is damaged")
        segments = array("Q")
        end = stored = 0
        for offset, length in zip(values[::2], values[1::2], strict=True):
            if offset < end or length < 0 or offset + length > size:
                raise InvalidImage(f"{_show(name)}: its sparse map is not in order or leaves the file")
            end = offset + length
            stored += length
            if length:
                segments.extend((offset, length))
        if stored != self._stored:
            raise InvalidImage(f"{_show(name)}: its sparse map does not match the stored data")
        entry = self._named(Kind.FILE, name, attributes, size=size)
        entry.segments = segments
        return entry

    def _named(
        self,
        kind: Kind,
        name: bytes,
        attributes: Attributes,
        *,
        size: int = 0,
        target: bytes = b"",
        link_path: tuple[bytes, ...] = (),
    ) -> Entry:
        """An entry that has a name of its own, or one of OCI's whiteouts."""
        path = self._path(name)
        if not path:
            raise InvalidImage(f"a {kind.value} of a layer has no name")
        if not path[-1].startswith(_WHITEOUT):
            return Entry(kind, path, attributes, size, target, link_path)
        if path[-1] == _OPAQUE:
            return Entry(Kind.OPAQUE, path[:-1], attributes)
        hidden = path[-1][len(_WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise InvalidImage(f"{_show(name)} is a whiteout of nothing")
        return Entry(Kind.WHITEOUT, (*path[:-1], hidden), attributes)

    def _path(self, name: bytes) -> tuple[bytes, ...]:
        """Components of a path; refuses what would leave the tree or what the kernel could not open."""
        parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
        if b".." in parts:
            raise InvalidImage(f"{_show(name)} leaves the image: a layer's paths may not contain '..'")
        if b"\0" in name:
            raise InvalidImage(f"{_show(name)} contains a NUL")
        if len(name) > PATH_MAX + 1 or len(parts) > self._limits.depth:
            raise InvalidImage(f"{_show(name)} is too long or too deep")
        # A whiteout's own name never gets into the tree: it may be longer than what it hides.
        last = parts[-1].removeprefix(_WHITEOUT) if parts else b""
        if any(len(part) > NAME_MAX for part in (*parts[:-1], last)):
            raise InvalidImage(f"{_show(name)} has a component of more than {NAME_MAX} bytes")
        return parts


def _show(name: bytes) -> str:
    """A name for messages, whatever its bytes."""
    text = name.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 200 else text[:200] + "…")


def _verify(header: bytes) -> None:
    """The header's checksum: unsigned as POSIX has it, or signed as some old tools wrote it."""
    wanted = _number(header, 148, 8)
    total = sum(header) - sum(header[148:156]) + 256
    if total != wanted:
        signed = total - 256 * sum(1 for byte in header[:148] + header[156:] if byte > 127)
        if signed != wanted:
            raise InvalidImage("a layer is not a tar, or its tar is damaged: the checksum of a header is wrong")


def _number(header: bytes, start: int, length: int) -> int:
    """An octal or, with the top bit set, base-256 number."""
    field = header[start : start + length]
    if field and field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * length - 1)) - 1)
        return value - (1 << (8 * length - 1)) if field[0] & 0x40 else value
    digits = field.strip(b" \0").split(b"\0", 1)[0]
    if not digits:
        return 0
    try:
        value = int(digits, 8)
    except ValueError:
        raise InvalidImage("a layer is not a tar, or its tar is damaged: a number of a header is none") from None
    if value < 0:
        raise InvalidImage("a layer's tar has a negative octal number")
    return value


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345]:
        return header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _check_target(name: bytes, target: bytes) -> None:
    if not target or len(target) > PATH_MAX or b"\0" in target:
        raise InvalidImage(f"{_show(name)} is a symbolic link with an empty, too long or damaged target")


def _parse_pax(data: bytes, into: dict[bytes, bytes], sparse_pairs: list[bytes]) -> None:
    """`length key=value\\n` records. An empty value takes the key away, as POSIX says."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        length = _plain_decimal(data[at:space]) if space > 0 else 0
        record = data[space + 1 : at + length]
        if space < 0 or length <= space - at or not record.endswith(b"\n") or b"=" not in record:
            raise InvalidImage("a layer's tar has a damaged extended header")
        key, value = record[:-1].split(b"=", 1)
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse_pairs.append(value)
        elif value or key.startswith((_XATTR_PAX, _XATTR_LIBARCHIVE)):
            into[key] = value
        else:
            into.pop(key, None)
        at += length


def _plain_decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise InvalidImage("a layer's tar has a damaged number in an extended header")
    return int(text)


def _decimal(pax: dict[bytes, bytes], key: bytes, default: int) -> int:
    value = pax.get(key)
    return default if value is None else _plain_decimal(value)


def _pax_time(text: bytes) -> int:
    """Nanoseconds from decimal seconds such as `-1.5`, without the rounding of floats."""
    whole, _, fraction = text.partition(b".")
    digits = whole.lstrip(b"-")
    if not digits.isdigit() or len(digits) > 20 or (fraction and not fraction.isdigit()):
        raise InvalidImage("a layer's tar has a damaged time in an extended header")
    value = int(digits) * _NANO + int((fraction + b"000000000")[:9])
    return -value if whole.startswith(b"-") else value


def _xattrs(pax: dict[bytes, bytes], limits: Limits) -> Xattrs:
    found: dict[bytes, bytes] = {}
    for key, value in pax.items():
        if key.startswith(_XATTR_LIBARCHIVE):
            name = unquote_to_bytes(key[len(_XATTR_LIBARCHIVE) :])
            try:
                found.setdefault(name, base64.b64decode(value + b"=" * (-len(value) % 4), validate=True))
            except binascii.Error:
                raise InvalidImage("a layer's tar has a damaged extended attribute") from None
        elif key.startswith(_XATTR_PAX):
            found[key[len(_XATTR_PAX) :]] = value
    if not found:
        return ()
    if sum(len(name) + len(value) for name, value in found.items()) > limits.xattr_bytes:
        raise ImageTooLarge(f"a file has more than {limits.xattr_bytes} bytes of extended attributes")
    if any(not 0 < len(name) <= NAME_MAX or b"\0" in name for name in found):
        raise InvalidImage("a layer's tar has an extended attribute with an impossible name")
    return tuple(sorted(found.items()))
