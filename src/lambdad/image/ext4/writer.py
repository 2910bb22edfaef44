"""ext4, in one pass: superblock and descriptors, contents by layer, inodes, directories, bitmaps.

```
chunk 0        superblock, group descriptors
layer 1 ..     contents, as planned by image.layout; extent trees and attribute blocks behind them
metadata       inode tables of all groups, one behind the other; directories' entries by layer; bitmaps
```
All groups' tables together are one table, so an inode's number is its place there, and depends on the layers up to
its own only. No journal, no checksums, no spare superblocks: the image is never written to in place.
"""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lambdad.image.content import FILE_TYPES, data_runs, parents_of, write_contents
from lambdad.image.errors import ImageTooLarge, InvalidImage
from lambdad.image.ext4 import format as ext4
from lambdad.image.layout import Geometry, Layout, Zones, is_living, plan_layout
from lambdad.image.output import ImageOutput
from lambdad.image.tree import ROOT, Tree

_UUID = bytes.fromhex("6c616d62646164400000000065787434")
_BLOCK_SIZES = (1024, 4096)
"""Small blocks waste less behind each file; a link or an attribute that does not fit there needs the large ones."""
_LISTING_BLOCKS_MAX = ext4.INLINE_EXTENTS * ext4.EXTENT_MAX
_RESERVED = ext4.FIRST_INODE - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ext4Plan:
    """The layout with all metadata placed.

    number: ext4's inode number, by inode. listing: first block and blocks of a directory's entries as they were after
    a layer. table, bitmaps: their first block; a group has one block of each bitmap. parent: by inode of a directory.
    """

    layout: Layout
    number: array[int]
    parent: array[int]
    listing: dict[tuple[int, int], tuple[int, int]]
    table: int
    bitmaps: int
    blocks: int
    groups: int
    inodes_per_group: int

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self.blocks * self.block_size

    @property
    def block_size(self) -> int:
        return self.layout.geometry.block_size

    @property
    def first_block(self) -> int:
        """Where the first group starts: the block of the superblock."""
        return ext4.SUPER_OFFSET // self.block_size


def plan_ext4(tree: Tree, chunk_size: int, packages: Mapping[bytes, bytes]) -> Ext4Plan:
    """Place everything. Raises InvalidImage for what ext4 cannot hold."""
    geometry = _geometry(tree, chunk_size)
    layout = plan_layout(tree, geometry, packages)
    number, table_length = _number_inodes(tree, layout, chunk_size // ext4.INODE)
    size = geometry.block_size
    per_chunk, per_group = chunk_size // size, 8 * size
    first_block = ext4.SUPER_OFFSET // size
    lengths = _listing_lengths(tree, layout)
    groups = -(-table_length // per_group)
    # More groups need longer tables and more bitmaps, and longer tables more groups: grow until it holds.
    while True:
        inodes_per_group = _round_up(-(-table_length // groups), max(8, size // ext4.INODE))
        table_end = layout.end + inodes_per_group * groups * ext4.INODE // size
        listing, listing_end = _place_listings(layout, lengths, table_end, per_chunk)
        bitmaps = _round_up(listing_end, per_chunk)
        blocks = _round_up(bitmaps + 2 * groups, per_chunk)
        blocks = max(blocks, _round_up(first_block + (groups - 1) * per_group + 1, per_chunk))
        needed = -(-(blocks - first_block) // per_group)
        if needed == groups:
            break
        groups = needed
    descriptors = (first_block + 1) * size + groups * ext4.GROUP_DESCRIPTOR
    if descriptors > chunk_size or blocks >= 1 << 32:
        raise ImageTooLarge("the image has more blocks than lambdad's ext4 writer describes")
    return Ext4Plan(
        layout=layout,
        number=number,
        parent=parents_of(tree),
        listing=listing,
        table=layout.end,
        bitmaps=bitmaps,
        blocks=blocks,
        groups=groups,
        inodes_per_group=inodes_per_group,
    )


def _number_inodes(tree: Tree, layout: Layout, per_chunk: int) -> tuple[array[int], int]:
    """Inode numbers by inode, and how many places of the table they span."""
    number = array("I", bytes(4 * tree.inodes))
    zones = Zones(0, per_chunk)
    lead = _RESERVED
    for layer in layout.layers:
        for members in layer.zones:
            first = zones.take(lead + len(members)) + lead + 1
            for at, inode in enumerate(members, first):
                number[inode] = at
            lead = 0
    number[ROOT] = ext4.ROOT_INODE
    return number, zones.next


def _geometry(tree: Tree, chunk_size: int) -> Geometry:
    """The smallest blocks in which every link's target and every file's attributes fit."""
    for size in _BLOCK_SIZES:
        targets_fit = all(len(target) < size for target in tree.targets.values())
        if targets_fit and all(_attributes_fit(xattrs, size) for xattrs in set(tree.xattrs.values())):
            break
    else:
        raise InvalidImage("a file has more extended attributes, or a longer link target, than ext4 can hold")

    def stored(tree: Tree, inode: int) -> Iterable[tuple[int, int]]:
        return _stored(tree, inode, size)

    def beside(tree: Tree, inode: int) -> int:
        own = 0
        if inode in tree.sparse or tree.size[inode] > ext4.INLINE_EXTENTS * ext4.EXTENT_MAX * size:
            own = ext4.extent_tree_blocks(sum(1 for _ in _extents(stored(tree, inode), 0)), size)
        return own + (inode in tree.xattrs and ext4.inode_xattrs(tree.xattrs[inode]) is None)

    return Geometry(size, chunk_size, stored, beside)


def _attributes_fit(xattrs: tuple[tuple[bytes, bytes], ...], size: int) -> bool:
    return ext4.inode_xattrs(xattrs) is not None or ext4.xattr_block(xattrs, size) is not None


def _stored(tree: Tree, inode: int, size: int) -> Iterable[tuple[int, int]]:
    """Logical runs of blocks with data."""
    length = tree.size[inode]
    if inode in tree.targets:
        return ((0, 1),) if length > ext4.INLINE_TARGET_MAX else ()
    segments = tree.sparse.get(inode)
    if segments is None:
        return ((0, -(-length // size)),) if length else ()
    return data_runs(segments, size)


def _extents(runs: Iterable[tuple[int, int]], place: int) -> Iterator[tuple[int, int, int]]:
    """Extents of runs that lie one behind the other from block `place`: logical block, length, place."""
    for first, count in runs:
        for at in range(0, count, ext4.EXTENT_MAX):
            yield first + at, min(ext4.EXTENT_MAX, count - at), place + at
        place += count


def _listing_lengths(tree: Tree, layout: Layout) -> list[list[int]]:
    """Blocks of each directory's entries, by layer in the order of its `listings`."""
    size = layout.geometry.block_size
    lengths = []
    for number, layer in enumerate(layout.layers):
        found = []
        for directory in layer.listings:
            names = [name for name, _ in tree.entries_at(directory, number)]
            found.append(ext4.listing_blocks([b".", b"..", *names], size))
        if max(found, default=0) > _LISTING_BLOCKS_MAX:
            raise ImageTooLarge("a directory of the image has more entries than lambdad's ext4 writer can hold")
        lengths.append(found)
    return lengths


def _place_listings(
    layout: Layout, lengths: list[list[int]], start: int, per_chunk: int
) -> tuple[dict[tuple[int, int], tuple[int, int]], int]:
    """Blocks of all listings from `start` on, and the first block behind them."""
    zones = Zones(start, per_chunk)
    listing: dict[tuple[int, int], tuple[int, int]] = {}
    for number, (layer, found) in enumerate(zip(layout.layers, lengths, strict=True)):
        first = zones.take(sum(found))
        for directory, length in zip(layer.listings, found, strict=True):
            listing[directory, number] = (first, length)
            first += length
    return listing, zones.next


def write_ext4(tree: Tree, plan: Ext4Plan, out: ImageOutput) -> None:
    """Write the image. The same tree and spool give the same bytes."""
    layout, size = plan.layout, plan.block_size
    used = _used_blocks(tree, plan)
    numbers, directories = _used_inodes(tree, plan)
    _write_head(plan, used, numbers, directories, out)
    for layer in layout.layers:
        write_contents(tree, layout, layer.data, out)
        for inode in layer.extras:
            if is_living(tree, inode):
                out.seek(layout.extra_start[inode] * size)
                for block in _extra_blocks(tree, layout, inode):
                    out.write(block)
    table = plan.table * size
    for layer in layout.layers:
        for members in layer.zones:
            for inode in members:
                if is_living(tree, inode):
                    out.seek(table + (plan.number[inode] - 1) * ext4.INODE)
                    out.write(_record(tree, plan, inode))
    for number, layer in enumerate(layout.layers):
        for directory in layer.listings:
            out.seek(plan.listing[directory, number][0] * size)
            for block in ext4.listing(_entries(tree, plan, directory, number), size):
                out.write(block)
    out.seek(plan.bitmaps * size)
    out.write(used)
    for group in range(plan.groups):
        bits = numbers[group * plan.inodes_per_group // 8 : (group + 1) * plan.inodes_per_group // 8]
        out.write(bits.ljust(size, b"\xff"))
    out.seek(plan.size)
    out.flush()


def _write_head(plan: Ext4Plan, used: bytearray, numbers: bytearray, directories: array[int], out: ImageOutput) -> None:
    """Superblock and group descriptors."""
    size, per_group, inodes = plan.block_size, plan.inodes_per_group, plan.inodes_per_group * plan.groups
    descriptors = []
    free_blocks = free_inodes = 0
    for group in range(plan.groups):
        blocks = 8 * size - int.from_bytes(used[group * size : (group + 1) * size], "little").bit_count()
        bits = numbers[group * per_group // 8 : (group + 1) * per_group // 8]
        places = per_group - int.from_bytes(bits, "little").bit_count()
        free_blocks += blocks
        free_inodes += places
        descriptors.append(
            ext4.group_descriptor(
                block_bitmap=plan.bitmaps + group,
                inode_bitmap=plan.bitmaps + plan.groups + group,
                inode_table=plan.table + group * per_group * ext4.INODE // size,
                free_blocks=blocks,
                free_inodes=places,
                directories=directories[group],
            )
        )
    out.seek(ext4.SUPER_OFFSET)
    out.write(
        ext4.superblock(
            ext4.Super(
                block_size=size,
                blocks=plan.blocks,
                free_blocks=free_blocks,
                inodes=inodes,
                free_inodes=free_inodes,
                inodes_per_group=per_group,
                uuid=_UUID,
            )
        )
    )
    out.seek((plan.first_block + 1) * size)
    out.write(b"".join(descriptors))


def _used_blocks(tree: Tree, plan: Ext4Plan) -> bytearray:
    """The block bitmaps of all groups. Places of what a later layer removed are free."""
    size, layout = plan.block_size, plan.layout
    bits = bytearray(plan.groups * size)
    head = plan.first_block + 1 - (-plan.groups * ext4.GROUP_DESCRIPTOR // size)
    runs = [(plan.first_block, head - plan.first_block)]
    stored = layout.geometry.stored
    for layer in layout.layers:
        runs += [
            (layout.start[inode], sum(count for _, count in stored(tree, inode)))
            for inode in layer.data
            if tree.links[inode]
        ]
        runs += [
            (layout.extra_start[inode], layout.geometry.beside(tree, inode))
            for inode in layer.extras
            if is_living(tree, inode)
        ]
    runs.append((plan.table, plan.inodes_per_group * plan.groups * ext4.INODE // size))
    runs += [place for (directory, layer), place in plan.listing.items() if _is_current(tree, directory, layer)]
    runs.append((plan.bitmaps, 2 * plan.groups))
    runs.append((plan.blocks, 8 * len(bits) + plan.first_block - plan.blocks))
    start = end = plan.first_block
    for first, count in runs:
        if first != end:
            _set_bits(bits, start - plan.first_block, end - plan.first_block)
            start = first
        end = first + count
    _set_bits(bits, start - plan.first_block, end - plan.first_block)
    return bits


def _is_current(tree: Tree, directory: int, layer: int) -> bool:
    return is_living(tree, directory) and tree.touched[directory][-1] == layer


def _set_bits(bits: bytearray, start: int, end: int) -> None:
    if start // 8 == end // 8:
        bits[start // 8] |= ((1 << end - start) - 1) << start % 8
        return
    bits[start // 8] |= 0xFF << start % 8 & 0xFF
    bits[start // 8 + 1 : end // 8] = b"\xff" * (end // 8 - start // 8 - 1)
    if end % 8:
        bits[end // 8] |= (1 << end % 8) - 1


def _used_inodes(tree: Tree, plan: Ext4Plan) -> tuple[bytearray, array[int]]:
    """The inode bitmaps of all groups, and the number of directories in each."""
    bits = bytearray(plan.inodes_per_group * plan.groups // 8)
    directories = array("I", bytes(4 * plan.groups))
    _set_bits(bits, 0, _RESERVED)
    for inode in range(tree.inodes):
        if is_living(tree, inode):
            at = plan.number[inode] - 1
            bits[at >> 3] |= 1 << (at & 7)
            if tree.is_directory(inode):
                directories[at // plan.inodes_per_group] += 1
    return bits, directories


def _entries(tree: Tree, plan: Ext4Plan, directory: int, layer: int) -> Iterator[tuple[bytes, int, int]]:
    yield b".", plan.number[directory], FILE_TYPES[stat.S_IFDIR]
    yield b"..", plan.number[plan.parent[directory]], FILE_TYPES[stat.S_IFDIR]
    for name, inode in tree.entries_at(directory, layer):
        yield name, plan.number[inode], FILE_TYPES[stat.S_IFMT(tree.mode[inode])]


def _record(tree: Tree, plan: Ext4Plan, inode: int) -> bytes:
    layout, block = plan.layout, plan.block_size
    size, links, flags = tree.size[inode], tree.links[inode], ext4.FLAG_EXTENTS
    extra = layout.extra_start.get(inode, 0)
    count = layout.geometry.beside(tree, inode) if extra else 0
    blocks = count
    xattrs = ext4.inode_xattrs(tree.xattrs.get(inode, ()))
    leaves = count - (xattrs is None)
    if links > ext4.LINKS_MAX:
        raise InvalidImage(f"a file has {links} hard links; ext4 can hold {ext4.LINKS_MAX}")
    if tree.is_directory(inode):
        first, length = plan.listing[inode, tree.touched[inode][-1]]
        size, links = length * block, 2 + tree.subdirectories(inode)
        links = 1 if links > ext4.LINKS_MAX else links
        blocks += length
        data, _ = ext4.extent_tree(list(_extents(((0, length),), first)), 0, block)
    elif inode in tree.targets and size <= ext4.INLINE_TARGET_MAX:
        flags, data = 0, tree.targets[inode]
    elif stat.S_ISFIFO(tree.mode[inode]):
        flags, data = 0, b""
    else:
        extents = list(_extents(layout.geometry.stored(tree, inode), layout.start[inode]))
        blocks += sum(length for _, length, _ in extents)
        data, _ = ext4.extent_tree(extents, extra, block)
    return ext4.inode(
        mode=tree.mode[inode],
        uid=tree.uid[inode],
        gid=tree.gid[inode],
        size=size,
        mtime=tree.mtime[inode],
        links=links,
        sectors=blocks * (block // 512),
        flags=flags,
        data=data,
        xattr_block=extra + leaves if xattrs is None else 0,
        xattrs=xattrs or b"",
    )


def _extra_blocks(tree: Tree, layout: Layout, inode: int) -> Iterator[bytes]:
    """The nodes of an extent tree, then the block of extended attributes: whichever the inode needs."""
    size = layout.geometry.block_size
    xattrs = tree.xattrs.get(inode, ())
    beside = ext4.inode_xattrs(xattrs) is None
    if layout.geometry.beside(tree, inode) > beside:
        extents = list(_extents(layout.geometry.stored(tree, inode), layout.start[inode]))
        yield from ext4.extent_tree(extents, layout.extra_start[inode], size)[1]
    if beside:
        block = ext4.xattr_block(xattrs, size)
        assert block is not None, "the block size was chosen so that it fits"
        yield block


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
