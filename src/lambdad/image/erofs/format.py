"""EROFS on disk: the records as bytes. No decisions, no I/O.

Source: the kernel's fs/erofs/erofs_fs.h as documented in Documentation/filesystems/erofs.rst; the part used here is
written down in docs/formats/erofs-subset.md. Everything is little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lambdad.image.errors import InvalidImage
from lambdad.image.tree import Xattrs

BLOCK_SIZES = (1024, 4096)
"""Small blocks waste less behind each file; Linux before 6.4 and fsck.erofs before 1.6 know only 4096."""
SUPER_OFFSET = 1024
SLOT = 32
"""Inode numbers count these units from the start of the metadata."""
INODE = 64
"""Bytes of an extended inode, the kind with full times, owners and sizes."""
ROOT_NID_MAX = 0xFFFF

FLAT_PLAIN, FLAT_INLINE, CHUNK_BASED = 0, 2, 4
HOLE = 0xFFFFFFFF
CHUNK_BITS_MAX = 31
"""Blocks of a chunk, as a power of two, that an inode can express."""
MAP_MAX = 1 << 16
"""Entries of a sparse file's block map, by our own choice; a larger file gets larger units."""

_MAGIC = 0xE0F5E1E2
_COMPAT_CHECKSUM = 0x1
INCOMPAT_CHUNKED = 0x4
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24s")
_INODE = struct.Struct("<HHHHQIIIIQII16x")
_DIRENT = struct.Struct("<QHBx")
_XATTR_HEADER = struct.Struct("<IB7x")
_XATTR_ENTRY = struct.Struct("<BBH")
_XATTR_PREFIXES: tuple[tuple[bytes, int], ...] = (
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
)


@dataclass(frozen=True, slots=True)
class Super:
    """What a reader needs of a superblock. meta: offset of the inodes."""

    block_size: int
    root_nid: int
    meta: int


@dataclass(frozen=True, slots=True)
class Inode:
    """What a reader needs of an inode. location: first block, or the chunk format. header: bytes before its tail."""

    layout: int
    mode: int
    size: int
    location: int
    header: int


def superblock(
    *, root_nid: int, inodes: int, blocks: int, meta_block: int, uuid: bytes, incompat: int, block_size: int
) -> bytes:
    """What stands at SUPER_OFFSET, to the end of its block, checksum included."""
    room = block_size if block_size <= SUPER_OFFSET else block_size - SUPER_OFFSET

    def pack(checksum: int) -> bytes:
        return _SUPER.pack(
            _MAGIC, checksum, _COMPAT_CHECKSUM, block_size.bit_length() - 1, 0, root_nid, inodes, 0, 0, blocks,
            meta_block, 0, uuid, b"lambdad", incompat, 0, 0, 0, 0, 0, 0, 0, b"",
        ).ljust(room, b"\0")  # fmt: skip

    return pack(_crc32c(pack(0)))


def inode(
    *,
    layout: int,
    mode: int,
    size: int,
    location: int,
    number: int,
    uid: int,
    gid: int,
    mtime: int,
    links: int,
    xattr_bytes: int,
) -> bytes:
    """An extended inode. location: first block, or the chunk format. mtime: nanoseconds."""
    seconds, nanoseconds = divmod(mtime, 1_000_000_000)
    count = 0 if xattr_bytes == 0 else 1 + (xattr_bytes - _XATTR_HEADER.size) // 4
    return _INODE.pack(
        1 | layout << 1, count, mode, 0, size, location, number & 0xFFFFFFFF, uid, gid,
        seconds & 0xFFFFFFFFFFFFFFFF, nanoseconds, links,
    )  # fmt: skip


def parse_superblock(data: bytes) -> Super:
    """data: what stands at SUPER_OFFSET. Raises `InvalidImage`."""
    if len(data) < _SUPER.size:
        raise InvalidImage("the image is too short for EROFS")
    fields = _SUPER.unpack_from(data)
    magic, bits, root_nid, meta_block = fields[0], fields[3], fields[5], fields[10]
    if magic != _MAGIC or 1 << bits not in BLOCK_SIZES:
        raise InvalidImage("this is not an EROFS that lambdad wrote")
    return Super(1 << bits, root_nid, meta_block << bits)


def parse_inode(data: bytes) -> Inode:
    """data: INODE bytes. Raises `InvalidImage`."""
    kind, xattrs, mode, _, size, location, *_ = _INODE.unpack(data)
    if not kind & 1 or kind >> 1 not in (FLAT_PLAIN, FLAT_INLINE, CHUNK_BASED):
        raise InvalidImage(f"the image has an inode of kind {kind}, which lambdad does not write")
    header = INODE + (_XATTR_HEADER.size + 4 * (xattrs - 1) if xattrs else 0)
    return Inode(kind >> 1, mode, size, location, header)


def xattr_body(xattrs: Xattrs) -> bytes:
    """What stands behind an inode that has extended attributes; a multiple of 4 bytes."""
    if not xattrs:
        return b""
    parts = [_XATTR_HEADER.pack(0, 0)]
    for name, value in xattrs:
        index, rest = _prefix(name)
        entry = _XATTR_ENTRY.pack(len(rest), index, len(value)) + rest + value
        parts.append(entry + b"\0" * (-len(entry) % 4))
    body = b"".join(parts)
    if len(body) > 0xFFFF:
        raise InvalidImage("a file has more extended attributes than EROFS can hold")
    return body


def _prefix(name: bytes) -> tuple[int, bytes]:
    for prefix, index in _XATTR_PREFIXES:
        if name.startswith(prefix):
            return index, name[len(prefix) :]
    raise InvalidImage(f"a file has the extended attribute {name!r}, whose namespace the kernel does not know")


def listing_size(names: Iterable[bytes], block_size: int) -> int:
    """Bytes of a directory with these names in order, `.` and `..` among them."""
    blocks = used = 0
    for name in names:
        need = _DIRENT.size + len(name)
        if used + need > block_size:
            blocks += 1
            used = 0
        used += need
    return blocks * block_size + used


def listing(entries: Iterable[tuple[bytes, int, int]], block_size: int) -> Iterator[bytes]:
    """Blocks of a directory: name, nid and file type of each entry, in order of names. The last one may be short."""
    batch: list[tuple[bytes, int, int]] = []
    used = 0
    for entry in entries:
        need = _DIRENT.size + len(entry[0])
        if used + need > block_size:
            yield _listing_block(batch).ljust(block_size, b"\0")
            batch, used = [], 0
        batch.append(entry)
        used += need
    yield _listing_block(batch)


def _listing_block(batch: list[tuple[bytes, int, int]]) -> bytes:
    offset = _DIRENT.size * len(batch)
    records = []
    for name, nid, kind in batch:
        records.append(_DIRENT.pack(nid, offset, kind))
        offset += len(name)
    return b"".join(records) + b"".join(name for name, _, _ in batch)


def parse_listing(block: bytes) -> list[tuple[bytes, int]]:
    """Name and nid of each entry of one block of a directory. Raises `InvalidImage`."""
    try:
        first = _DIRENT.unpack_from(block)[1]
        records = list(_DIRENT.iter_unpack(block[:first]))
    except struct.error:
        raise InvalidImage("a directory of the image is damaged") from None
    ends = [offset for _, offset, _ in records[1:]] + [len(block)]
    entries = []
    for (nid, start, _), end in zip(records, ends, strict=True):
        if not first <= start <= end <= len(block):
            raise InvalidImage("a directory of the image is damaged")
        entries.append((block[start:end].rstrip(b"\0"), nid))
    return entries


def _crc32c(data: bytes) -> int:
    """CRC-32C without the final inversion, as EROFS stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc
