"""ext4 on disk: the records as bytes. No decisions, no I/O.

Source: the kernel's Documentation/filesystems/ext4; the part used here is written down in docs/formats/ext4-subset.md.
Everything is little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lambdad.image.errors import InvalidImage
from lambdad.image.tree import Xattrs

SUPER_OFFSET = 1024
INODE = 256
INODE_EXTRA = 32
"""Bytes of the fixed fields behind the first 128: nanoseconds, creation time."""
XATTR_ROOM = INODE - 128 - INODE_EXTRA
"""Bytes inside an inode for extended attributes, with their 4-byte magic."""
ROOT_INODE = 2
FIRST_INODE = 11
GROUP_DESCRIPTOR = 32
INLINE_TARGET_MAX = 59
"""Bytes of a symlink's target that the inode itself holds."""
LINKS_MAX = 65_000
EXTENT_MAX = 32_768
"""Blocks of one extent."""
INLINE_EXTENTS = 4

FLAG_EXTENTS = 0x80000

_COMPAT_EXT_ATTR, _COMPAT_SPARSE_SUPER2 = 0x8, 0x200
_INCOMPAT_FILETYPE, _INCOMPAT_EXTENTS, _INCOMPAT_FLEX_BG = 0x2, 0x40, 0x200
_RO_SPARSE_SUPER, _RO_LARGE_FILE, _RO_DIR_NLINK, _RO_EXTRA_ISIZE = 0x1, 0x2, 0x20, 0x40
_XATTR_MAGIC = 0xEA020000
_EXTENT_MAGIC = 0xF30A
_XATTR_ENTRY = struct.Struct("<BBHIII")
_XATTR_PREFIXES: tuple[tuple[bytes, int], ...] = (
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
)
_ACL = (2, 3)
_EXTENT_HEADER = struct.Struct("<HHHHI")
_EXTENT = struct.Struct("<IHHI")
_EXTENT_INDEX = struct.Struct("<IIHH")
_DIRENT = struct.Struct("<IHBB")
_GROUP = struct.Struct("<IIIHHHHIHHHH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Super:
    """What the superblock says of an image. Counts are of blocks and inodes."""

    block_size: int
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    inodes_per_group: int
    uuid: bytes


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a reader needs of a superblock. descriptors: offset of the first group's."""

    block_size: int
    inodes: int
    inodes_per_group: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Inode:
    """What a reader needs of an inode. data: extents, target, or nothing."""

    mode: int
    size: int
    flags: int
    data: bytes


def superblock(s: Super) -> bytes:
    """The 1,024 bytes at SUPER_OFFSET. Every time in it is zero."""
    log = s.block_size.bit_length() - 11
    per_group = s.block_size * 8
    first = struct.pack(
        "<13I6H4I2HI2H3I16s16s",
        s.inodes, s.blocks, 0, s.free_blocks, s.free_inodes, 1 if s.block_size == 1024 else 0, log, log,
        per_group, per_group, s.inodes_per_group, 0, 0,
        0, 0xFFFF, 0xEF53, 1, 1, 0,  # mounts, their limit, magic, clean, errors: continue, minor
        0, 0, 0, 1,  # last check, interval, Linux, dynamic revision
        0, 0, FIRST_INODE, INODE, 0,
        _COMPAT_EXT_ATTR | _COMPAT_SPARSE_SUPER2,
        _INCOMPAT_FILETYPE | _INCOMPAT_EXTENTS | _INCOMPAT_FLEX_BG,
        _RO_SPARSE_SUPER | _RO_LARGE_FILE | _RO_DIR_NLINK | _RO_EXTRA_ISIZE,
        s.uuid, b"lambdad",
    )  # fmt: skip
    block = bytearray(1024)
    block[: len(first)] = first
    struct.pack_into("<16s", block, 0xEC, s.uuid)  # hash seed
    block[0xFC] = 1  # default hash: half MD4
    struct.pack_into("<HHI", block, 0x15C, INODE_EXTRA, INODE_EXTRA, 0x1)  # signed hash of names
    block[0x174] = 4  # log2 of groups per flexible group; their metadata may be anywhere
    return bytes(block)


def parse_superblock(data: bytes) -> Geometry:
    """data: the 1,024 bytes at SUPER_OFFSET. Raises `InvalidImage`."""
    fields = struct.unpack_from("<13I6H4I2HI2H3I", data)
    log, per_group, magic, inode_size, incompat = fields[6], fields[10], fields[15], fields[26], fields[29]
    ours = _INCOMPAT_FILETYPE | _INCOMPAT_EXTENTS | _INCOMPAT_FLEX_BG
    if (magic, inode_size, incompat) != (0xEF53, INODE, ours) or log not in (0, 2) or not per_group:
        raise InvalidImage("this is not an ext4 that lambdad wrote")
    block_size = 1024 << log
    return Geometry(block_size, fields[0], per_group, (SUPER_OFFSET // block_size + 1) * block_size)


def parse_group(data: bytes) -> int:
    """The first block of a group's inode table, of its GROUP_DESCRIPTOR bytes."""
    return int(_GROUP.unpack(data)[2])


def group_descriptor(
    *, block_bitmap: int, inode_bitmap: int, inode_table: int, free_blocks: int, free_inodes: int, directories: int
) -> bytes:
    return _GROUP.pack(block_bitmap, inode_bitmap, inode_table, free_blocks, free_inodes, directories, 0, 0, 0, 0, 0, 0)


def inode(
    *,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    links: int,
    sectors: int,
    flags: int,
    data: bytes,
    xattr_block: int,
    xattrs: bytes,
) -> bytes:
    """A 256-byte inode. sectors: of 512 bytes, everything it owns. data: the 60 bytes of extents or target.
    mtime: nanoseconds, used for every time. xattrs: what `inode_xattrs` made."""
    seconds, nanoseconds = divmod(mtime, 1_000_000_000)
    low = seconds & 0xFFFFFFFF
    signed = low - (1 << 32) if low & 0x80000000 else low
    extra = nanoseconds << 2 | (seconds - signed) >> 32 & 3
    head = struct.pack(
        "<HHIIIIIHHIII60sIIIIHHHHHH",
        mode, uid & 0xFFFF, size & 0xFFFFFFFF, low, low, low, 0, gid & 0xFFFF, links, sectors & 0xFFFFFFFF, flags, 0,
        data, 0, xattr_block, size >> 32, 0,
        sectors >> 32, 0, uid >> 16, gid >> 16, 0, 0,
    )  # fmt: skip
    tail = struct.pack("<HHIIIIII", INODE_EXTRA, 0, extra, extra, extra, low, extra, 0)
    return (head + tail + b"\0\0\0\0" + xattrs).ljust(INODE, b"\0")


def parse_inode(data: bytes) -> Inode:
    """data: the first 128 bytes."""
    mode, _, low, _, _, _, _, _, _, _, flags, _, rest, _, _, high = struct.unpack_from("<HHIIIIIHHIII60sIII", data)
    return Inode(mode, high << 32 | low, flags, rest)


def parse_extent_node(data: bytes) -> tuple[int, list[tuple[int, int, int]]]:
    """Depth, and the entries: logical block, blocks (0 above the leaves), place. Raises `InvalidImage`."""
    magic, count, _, depth, _ = _EXTENT_HEADER.unpack_from(data)
    if magic != _EXTENT_MAGIC or _EXTENT_HEADER.size + count * _EXTENT.size > len(data):
        raise InvalidImage("an extent tree of the image is damaged")
    entries = []
    for at in range(_EXTENT_HEADER.size, _EXTENT_HEADER.size + count * _EXTENT.size, _EXTENT.size):
        if depth:
            logical, low, high, _ = _EXTENT_INDEX.unpack_from(data, at)
            entries.append((logical, 0, high << 32 | low))
        else:
            logical, length, high, low = _EXTENT.unpack_from(data, at)
            entries.append((logical, length, high << 32 | low))
    return depth, entries


def extent_tree_blocks(count: int, block_size: int) -> int:
    """Blocks of a tree of so many extents, beside its root in the inode."""
    total = 0
    while count > INLINE_EXTENTS:
        count = -(-count // extents_per_block(block_size))
        total += count
    return total


def extent_tree(extents: Sequence[tuple[int, int, int]], first: int, block_size: int) -> tuple[bytes, list[bytes]]:
    """The root's bytes in the inode, and the tree's blocks, to be put from block `first` on.

    extents: logical block, length, place, in order.
    """
    room = extents_per_block(block_size)
    entries = [(logical, _EXTENT.pack(logical, count, 0, place)) for logical, count, place in extents]
    blocks: list[bytes] = []
    depth = 0
    while len(entries) > INLINE_EXTENTS:
        above = []
        for at in range(0, len(entries), room):
            node = entries[at : at + room]
            above.append((node[0][0], _EXTENT_INDEX.pack(node[0][0], first + len(blocks), 0, 0)))
            blocks.append(_extent_node(node, room, depth).ljust(block_size, b"\0"))
        entries = above
        depth += 1
    return _extent_node(entries, INLINE_EXTENTS, depth), blocks


def extents_per_block(block_size: int) -> int:
    return (block_size - _EXTENT_HEADER.size) // _EXTENT.size


def _extent_node(entries: Sequence[tuple[int, bytes]], room: int, depth: int) -> bytes:
    header = _EXTENT_HEADER.pack(_EXTENT_MAGIC, len(entries), room, depth, 0)
    return header + b"".join(record for _, record in entries)


def listing_blocks(names: Iterable[bytes], block_size: int) -> int:
    """Blocks of a directory with these names, `.` and `..` among them."""
    blocks, used = 1, 0
    for name in names:
        need = _dirent_size(name)
        if used + need > block_size:
            blocks += 1
            used = 0
        used += need
    return blocks


def listing(entries: Iterable[tuple[bytes, int, int]], block_size: int) -> Iterator[bytes]:
    """Blocks of a linear directory: name, inode number and file type of each entry."""
    block = bytearray()
    last = 0
    for name, number, kind in entries:
        need = _dirent_size(name)
        if len(block) + need > block_size:
            yield _end_listing(block, last, block_size)
            block = bytearray()
        last = len(block)
        block += (_DIRENT.pack(number, need, len(name), kind) + name).ljust(need, b"\0")
    yield _end_listing(block, last, block_size)


def _end_listing(block: bytearray, last: int, block_size: int) -> bytes:
    """The last entry owns the rest of the block."""
    struct.pack_into("<H", block, last + 4, block_size - last)
    return bytes(block.ljust(block_size, b"\0"))


def parse_listing(block: bytes) -> list[tuple[bytes, int]]:
    """Name and inode number of each entry of one block of a linear directory. Raises `InvalidImage`."""
    entries = []
    at = 0
    while at < len(block):
        if at + _DIRENT.size > len(block):
            raise InvalidImage("a directory of the image is damaged")
        number, length, named, _ = _DIRENT.unpack_from(block, at)
        if length < _DIRENT.size + named or at + length > len(block):
            raise InvalidImage("a directory of the image is damaged")
        if number:
            entries.append((block[at + _DIRENT.size : at + _DIRENT.size + named], number))
        at += length
    return entries


def _dirent_size(name: bytes) -> int:
    return _DIRENT.size + (len(name) + 3 & ~3)


def inode_xattrs(xattrs: Xattrs) -> bytes | None:
    """Extended attributes as they stand inside an inode; None if they do not fit there."""
    if not xattrs:
        return b""
    room = XATTR_ROOM - 4
    body = _xattr_entries(xattrs, room, 0, hashed=False)
    return None if body is None else struct.pack("<I", _XATTR_MAGIC) + body


def xattr_block(xattrs: Xattrs, block_size: int) -> bytes | None:
    """Extended attributes as a block of their own; None if they do not fit there."""
    body = _xattr_entries(xattrs, block_size - 32, 32, hashed=True)
    if body is None:
        return None
    total, at = 0, 0
    while body[at]:
        (value,) = struct.unpack_from("<I", body, at + 12)
        total = (total << 16 & 0xFFFFFFFF) ^ total >> 16 ^ value
        at += _XATTR_ENTRY.size + (body[at] + 3 & ~3)
    return struct.pack("<IIIIIIII", _XATTR_MAGIC, 1, 1, total, 0, 0, 0, 0) + body


def _xattr_entries(xattrs: Xattrs, room: int, base: int, *, hashed: bool) -> bytes | None:
    """Entries from the front, values from the back, at least four zero bytes between them.

    base: what value offsets count from, before the first entry.
    """
    named = sorted((*_xattr_name(name), value) for name, value in xattrs)
    body = bytearray(room)
    front, back = 0, room
    for index, _, name, raw in named:
        value = _acl(raw) if index in _ACL else raw
        size = _XATTR_ENTRY.size + (len(name) + 3 & ~3)
        back -= len(value) + 3 & ~3
        if front + size + 4 > back:
            return None
        digest = _xattr_hash(name, value) if hashed else 0
        record = _XATTR_ENTRY.pack(len(name), index, back + base if value else 0, 0, len(value), digest) + name
        body[front : front + len(record)] = record
        body[back : back + len(value)] = value
        front += size
    return bytes(body)


def _xattr_name(name: bytes) -> tuple[int, int, bytes]:
    """Sort key of a name: index of its namespace, length, rest."""
    for prefix, index in _XATTR_PREFIXES:
        if name.startswith(prefix) and (index not in _ACL or name == prefix):
            return index, len(name) - len(prefix), name[len(prefix) :]
    raise InvalidImage(f"a file has the extended attribute {name!r}, whose namespace the kernel does not know")


def _xattr_hash(name: bytes, value: bytes) -> int:
    digest = 0
    for byte in name:
        digest = (digest << 5 ^ digest >> 27 ^ byte) & 0xFFFFFFFF
    padded = value + b"\0" * (-len(value) % 4)
    for (word,) in struct.iter_unpack("<I", padded):
        digest = (digest << 16 ^ digest >> 16 ^ word) & 0xFFFFFFFF
    return digest


def _acl(value: bytes) -> bytes:
    """An access control list in ext4's own form: short entries where no id belongs to the tag."""
    if len(value) < 4 or len(value) % 8 != 4 or struct.unpack_from("<I", value)[0] != 2:
        raise InvalidImage("a file has a damaged access control list")
    parts = [struct.pack("<I", 1)]
    for tag, permissions, owner in struct.iter_unpack("<HHI", value[4:]):
        parts.append(struct.pack("<HH", tag, permissions))
        if tag in (0x02, 0x08):  # named user, named group
            parts.append(struct.pack("<I", owner))
    return b"".join(parts)
