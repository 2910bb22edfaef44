"""The zip format: a source's central directory as entries, and an entry's bytes. Trusts nothing it reads.

Not `zipfile`: that one makes an object of a kilobyte per entry before anybody can count them, and lets entries overlap
(the bombs that expand a megabyte to terabytes). What this reads is bounded by the limits given, in memory and time.
Source: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_SIGNATURE = b"PK\x06\x06"
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_CENTRAL = struct.Struct("<4s2B5H3L5H2L")
_CENTRAL_SIGNATURE = b"PK\x01\x02"
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_COMMENT_MAX = 0xFFFF
_UNKNOWN_32 = 0xFFFFFFFF
_UNKNOWN_16 = 0xFFFF

STORED = 0
DEFLATED = 8
_METHOD_NAMES = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstandard", 95: "xz"}

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_PIECE = 256 * 1024


class BadZip(Exception):
    """This is not a zip that can be read, or it breaks a limit; the text says which rule."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One entry of the central directory. size, packed: bytes. offset: of the local header in the source.

    host: who made it (0 FAT, 3 Unix). attributes: mode in the upper 16 bits where the maker knew modes. time: DOS
    date and time, two 16-bit numbers. extra: raw extra field.
    """

    raw_name: bytes
    is_utf8: bool
    host: int
    attributes: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    time: tuple[int, int]
    extra: bytes


def read_directory(source: BinaryIO, limit: int) -> list[ZipEntry]:
    """The entries of a zip in the order of its central directory. limit: how many there may be."""
    length = source.seek(0, io.SEEK_END)
    position, size, offset, count = _find_end(source, length)
    if count > limit or size > limit * (_CENTRAL.size + 4096):
        raise BadZip(f"it has {count} entries, more than {limit}")
    start = position - size
    prefix = start - offset
    if size > length or start < 0 or prefix < 0:
        raise BadZip("its central directory lies outside of the file")
    entries = list(_parse_directory(_read(source, start, size), prefix, limit))
    if len(entries) != count:
        raise BadZip(f"its central directory has {len(entries)} entries and says {count}")
    _refuse_overlaps(entries, start)
    return entries


def read_entry(source: BinaryIO, entry: ZipEntry) -> Iterator[bytes]:
    """The content of an entry in pieces; raises before it yields more than `entry.size` bytes in all."""
    position = _data_offset(source, entry)
    produced, crc = 0, 0
    for piece in _unpack(source, entry, position):
        produced += len(piece)
        if produced > entry.size:
            raise BadZip("an entry is longer than it says")
        crc = zlib.crc32(piece, crc)
        yield piece
    if produced != entry.size:
        raise BadZip("an entry is shorter than it says")
    if crc != entry.crc:
        raise BadZip("the checksum of an entry does not match")


def extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """(identifier, content) of each extra field; a torn tail is ignored."""
    position = 0
    while position + 4 <= len(extra):
        identifier, size = struct.unpack_from("<2H", extra, position)
        yield identifier, extra[position + 4 : position + 4 + size]
        position += 4 + size


def _find_end(source: BinaryIO, length: int) -> tuple[int, int, int, int]:
    """(end of the directory, its size, its offset as written, number of entries)."""
    tail_start = max(0, length - _END.size - _COMMENT_MAX)
    tail = _read(source, tail_start, length - tail_start)
    found = tail.rfind(_END_SIGNATURE)
    if found < 0 or len(tail) - found < _END.size:
        raise BadZip("it is not a zip file, or its end is missing")
    _, disk, first_disk, here, count, size, offset, _ = _END.unpack_from(tail, found)
    position = tail_start + found
    if _UNKNOWN_16 in (count, here) or _UNKNOWN_32 in (size, offset):
        return _find_end64(source, position)
    if disk or first_disk or here != count:
        raise BadZip("it is one part of a split zip")
    return position, size, offset, count


def _find_end64(source: BinaryIO, position: int) -> tuple[int, int, int, int]:
    locator = position - _LOCATOR.size
    if locator < _END64.size:
        raise BadZip("its zip64 end is missing")
    signature, disk, _, disks = _LOCATOR.unpack(_read(source, locator, _LOCATOR.size))
    # The record stands right before its locator; where it says that it stands is wrong behind a prefix.
    end = locator - _END64.size
    record = _END64.unpack(_read(source, end, _END64.size))
    if signature != _LOCATOR_SIGNATURE or record[0] != _END64_SIGNATURE or disk or disks > 1:
        raise BadZip("its zip64 end is missing or of an unknown kind")
    here, count, size, offset = record[6:10]
    if here != count:
        raise BadZip("it is one part of a split zip")
    return end, size, offset, count


def _parse_directory(directory: bytes, prefix: int, limit: int) -> Iterator[ZipEntry]:
    position, number = 0, 0
    while position < len(directory):
        if len(directory) - position < _CENTRAL.size:
            raise BadZip("its central directory is cut off")
        fields = _CENTRAL.unpack_from(directory, position)
        (signature, _, host, _, flags, method, time, date, crc, packed, size) = fields[:11]
        (name_size, extra_size, comment_size, disk, _, attributes, offset) = fields[11:]
        names = position + _CENTRAL.size
        position = names + name_size + extra_size + comment_size
        number += 1
        if signature != _CENTRAL_SIGNATURE or position > len(directory) or number > limit:
            raise BadZip("its central directory is damaged")
        name = directory[names : names + name_size]
        extra = directory[names + name_size : names + name_size + extra_size]
        if flags & _ENCRYPTED:
            raise BadZip(f"the entry {_show(name)} is encrypted")
        if method not in (STORED, DEFLATED):
            how = _METHOD_NAMES.get(method, f"method {method}")
            raise BadZip(f"the entry {_show(name)} is compressed with {how}; use deflate")
        if disk not in (0, _UNKNOWN_16):
            raise BadZip("it is one part of a split zip")
        size, packed, offset = _widen(extra, size, packed, offset)
        yield ZipEntry(
            name, bool(flags & 0x800), host, attributes, method, crc, packed, size, offset + prefix, (date, time), extra
        )


def _widen(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The true numbers of a zip64 entry: those that did not fit stand in its extra field, in this order."""
    if _UNKNOWN_32 not in (size, packed, offset):
        return size, packed, offset
    wide = next((content for identifier, content in extra_fields(extra) if identifier == 1), b"")
    numbers = [number for (number,) in struct.iter_unpack("<Q", wide[: len(wide) // 8 * 8])]
    result = []
    for value in (size, packed, offset):
        if value != _UNKNOWN_32:
            result.append(value)
        elif numbers:
            result.append(numbers.pop(0))
        else:
            raise BadZip("an entry lacks its zip64 sizes")
    return result[0], result[1], result[2]


def _refuse_overlaps(entries: list[ZipEntry], directory: int) -> None:
    """No byte may belong to two entries: that is how a small zip becomes a huge tree."""
    end = directory
    for entry in sorted(entries, key=lambda entry: entry.offset, reverse=True):
        # The local header repeats the name; its extra field may differ in size and is checked when it is read.
        if entry.offset < 0 or entry.offset + _LOCAL.size + len(entry.raw_name) + entry.packed > end:
            raise BadZip("its entries overlap")
        end = entry.offset


def _data_offset(source: BinaryIO, entry: ZipEntry) -> int:
    header = _LOCAL.unpack(_read(source, entry.offset, _LOCAL.size))
    signature, _, flags, method = header[:4]
    name_size, extra_size = int(header[-2]), int(header[-1])
    if signature != _LOCAL_SIGNATURE or method != entry.method or flags & _ENCRYPTED:
        raise BadZip("an entry's header does not match the central directory")
    if _read(source, entry.offset + _LOCAL.size, name_size) != entry.raw_name:
        raise BadZip("an entry's name does not match the central directory")
    return entry.offset + _LOCAL.size + name_size + extra_size


def _unpack(source: BinaryIO, entry: ZipEntry, position: int) -> Iterator[bytes]:
    left = entry.packed
    if entry.method == STORED:
        while left:
            piece = _read(source, position, min(left, _PIECE))
            position, left = position + len(piece), left - len(piece)
            yield piece
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while left and not inflate.eof:
            packed = _read(source, position, min(left, _PIECE))
            position, left = position + len(packed), left - len(packed)
            while packed and not inflate.eof:
                piece = inflate.decompress(packed, _PIECE)
                packed = inflate.unconsumed_tail
                if piece:
                    yield piece
        tail = inflate.flush()
    except zlib.error as error:
        raise BadZip(f"an entry cannot be decompressed: {error}") from error
    if tail:
        yield tail
    if not inflate.eof:
        raise BadZip("an entry is cut off")


def _read(source: BinaryIO, offset: int, size: int) -> bytes:
    try:
        source.seek(offset)
        data = source.read(size)
    except (OSError, ValueError, OverflowError) as error:
        raise BadZip(f"it cannot be read: {error}") from error
    if len(data) != size:
        raise BadZip("it is cut off")
    return data


def _show(name: bytes) -> str:
    return repr(name[:80].decode(errors="replace"))
