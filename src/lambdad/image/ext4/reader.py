"""Where the files of an ext4 image are. Reads the metadata only."""

from __future__ import annotations

from collections.abc import Iterator

from lambdad.image.errors import InvalidImage
from lambdad.image.ext4 import format as ext4
from lambdad.image.limits import Limits
from lambdad.image.places import Extent, Kind, Place, ReadAt, Walk, kind_of, merged, read_listing, read_range

_DEPTH_MAX = 5
"""Levels of an extent tree, which cover any file."""
_EXTENTS_MAX = 1 << 20


def walk_ext4(read: ReadAt, size: int, limits: Limits) -> Iterator[Place]:
    """Every inode once, directories before what is in them. size: of the image. Raises `InvalidImage`."""
    geometry = ext4.parse_superblock(read_range(read, ext4.SUPER_OFFSET, 1024, size))
    walk = Walk(ext4.ROOT_INODE, limits)
    while (item := walk.next()) is not None:
        path, number = item
        offset = _place_of(read, geometry, number, size)
        inode = ext4.parse_inode(read_range(read, offset, 128, size))
        extents = _extents(read, geometry, inode, size)
        kind = kind_of(inode.mode)
        if kind is Kind.DIRECTORY:
            blocks = read_listing(read, extents, size, geometry.block_size)
            walk.enter(path, [entry for block in blocks for entry in ext4.parse_listing(block)])
        yield Place(path, kind, (offset, ext4.INODE), extents)


def _place_of(read: ReadAt, geometry: ext4.Geometry, number: int, size: int) -> int:
    if not 0 < number <= geometry.inodes:
        raise InvalidImage(f"a directory of the image names inode {number}, which is not there")
    group, at = divmod(number - 1, geometry.inodes_per_group)
    descriptor = geometry.descriptors + group * ext4.GROUP_DESCRIPTOR
    table = ext4.parse_group(read_range(read, descriptor, ext4.GROUP_DESCRIPTOR, size))
    return table * geometry.block_size + at * ext4.INODE


def _extents(read: ReadAt, geometry: ext4.Geometry, inode: ext4.Inode, size: int) -> tuple[Extent, ...]:
    """The content's places, the last cut to the size."""
    if not inode.flags & ext4.FLAG_EXTENTS:
        return ()
    found = []
    for logical, blocks, place in _leaves(read, geometry, inode.data, size):
        start = logical * geometry.block_size
        length = min(blocks * geometry.block_size, inode.size - start)
        if length <= 0 or place * geometry.block_size + length > size:
            raise InvalidImage("a file of the image has blocks behind its end, or behind the image's")
        found.append((place * geometry.block_size, length))
    return merged(found)


def _leaves(read: ReadAt, geometry: ext4.Geometry, root: bytes, size: int) -> list[tuple[int, int, int]]:
    depth, entries = ext4.parse_extent_node(root)
    if depth > _DEPTH_MAX:
        raise InvalidImage("an extent tree of the image is deeper than any file needs")
    for level in range(depth - 1, -1, -1):
        below: list[tuple[int, int, int]] = []
        for _, _, place in entries:
            node = read_range(read, place * geometry.block_size, geometry.block_size, size)
            found, children = ext4.parse_extent_node(node)
            below += children
            if found != level or len(below) > _EXTENTS_MAX:
                raise InvalidImage("an extent tree of the image is damaged")
        entries = below
    return entries
