"""Where the files of an EROFS image are. Reads the metadata only."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lambdad.image.erofs import format as erofs
from lambdad.image.errors import InvalidImage
from lambdad.image.limits import Limits
from lambdad.image.places import Kind, Place, ReadAt, Walk, kind_of, merged, read_listing, read_range


def walk_erofs(read: ReadAt, size: int, limits: Limits) -> Iterator[Place]:
    """Every inode once, directories before what is in them. size: of the image. Raises `InvalidImage`."""
    found = erofs.parse_superblock(read_range(read, erofs.SUPER_OFFSET, 128, size))
    walk = Walk(found.root_nid, limits)
    while (item := walk.next()) is not None:
        path, nid = item
        offset = found.meta + nid * erofs.SLOT
        inode = erofs.parse_inode(read_range(read, offset, erofs.INODE, size))
        extents, tail = _extents(read, found, inode, offset + inode.header, size)
        kind = kind_of(inode.mode)
        if kind is Kind.DIRECTORY:
            blocks = read_listing(read, extents, size, found.block_size)
            walk.enter(path, [entry for block in blocks for entry in erofs.parse_listing(block)])
        yield Place(path, kind, (offset, inode.header + tail), extents)


def _extents(
    read: ReadAt, found: erofs.Super, inode: erofs.Inode, behind: int, size: int
) -> tuple[tuple[tuple[int, int], ...], int]:
    """The content's places, and the bytes that stand behind the inode's header."""
    if inode.layout == erofs.FLAT_INLINE:
        if inode.size > found.block_size:
            raise InvalidImage("a link of the image is longer than lambdad writes")
        return (), inode.size
    if inode.layout == erofs.FLAT_PLAIN:
        place = (inode.location * found.block_size, inode.size)
        if sum(place) > size:
            raise InvalidImage("a file of the image ends behind the image")
        return ((place,) if inode.size else ()), 0
    unit = found.block_size << (inode.location & erofs.CHUNK_BITS_MAX)
    count = -(-inode.size // unit)
    if count > erofs.MAP_MAX:
        raise InvalidImage("a sparse file of the image has a longer map than lambdad writes")
    table = read_range(read, behind, 4 * count, size)
    extents = []
    for number, (block,) in enumerate(struct.iter_unpack("<I", table)):
        if block != erofs.HOLE:
            extents.append((block * found.block_size, min(unit, inode.size - number * unit)))
    if any(offset + length > size for offset, length in extents):
        raise InvalidImage("a file of the image ends behind the image")
    return merged(extents), len(table)
