"""EROFS, in one pass: superblock, contents by layer, inodes, directories.

```
chunk 0        superblock
layer 1 ..     contents, as planned by image.layout
metadata       for each layer: its directories' inodes, its other inodes; then for each layer its directories' entries
```
An inode number is a place in the metadata, so it depends on the layers up to its own only.
"""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lambdad.image.content import FILE_TYPES, data_runs, parents_of, write_contents
from lambdad.image.erofs import format as erofs
from lambdad.image.layout import Geometry, Layout, Zones, is_living, plan_layout
from lambdad.image.output import ImageOutput
from lambdad.image.tree import ROOT, Tree

_UUID = bytes.fromhex("6c616d62646164400000000065726f66")


def _geometry(block_size: int, chunk_size: int) -> Geometry:
    def stored(tree: Tree, inode: int) -> Iterable[tuple[int, int]]:
        return _stored(tree, inode, block_size)

    return Geometry(block_size, chunk_size, stored, _no_extra)


def _no_extra(_tree: Tree, _inode: int) -> int:
    return 0


def _stored(tree: Tree, inode: int, block_size: int) -> Iterable[tuple[int, int]]:
    size = tree.size[inode]
    if inode in tree.targets:
        return () if _is_inline(tree, inode, block_size) else ((0, -(-size // block_size)),)
    segments = tree.sparse.get(inode)
    if segments is None:
        return ((0, -(-size // block_size)),) if size else ()
    unit = 1 << _map_bits(size, block_size)
    return [(first * unit, count * unit) for first, count in data_runs(segments, unit * block_size)]


def _is_inline(tree: Tree, inode: int, block_size: int) -> bool:
    """Whether a symlink's target fits behind its inode, within one block."""
    return erofs.INODE + len(erofs.xattr_body(tree.xattrs.get(inode, ()))) + tree.size[inode] <= block_size


def _map_bits(size: int, block_size: int) -> int:
    """Power of two of blocks for which a sparse file has one entry in its map."""
    bits = 0
    while size > erofs.MAP_MAX * (block_size << bits):
        bits += 1
    assert bits <= erofs.CHUNK_BITS_MAX
    return bits


@dataclass(frozen=True, slots=True)
class ErofsPlan:
    """The layout with all metadata placed. nid: inode number of the format, by inode. listing: first block of a
    directory's entries as they were after a layer. parent: by inode of a directory. blocks: of the whole image."""

    layout: Layout
    nid: array[int]
    listing: dict[tuple[int, int], int]
    parent: array[int]
    blocks: int

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self.blocks * self.block_size

    @property
    def block_size(self) -> int:
        return self.layout.geometry.block_size


def plan_erofs(tree: Tree, block_size: int, chunk_size: int, packages: Mapping[bytes, bytes]) -> ErofsPlan:
    """Place everything. block_size: one of `format.BLOCK_SIZES`."""
    layout = plan_layout(tree, _geometry(block_size, chunk_size), packages)
    nid = array("Q", bytes(8 * tree.inodes))
    # Inode number 0 is "no file" to readdir: the root, first of all inodes, stands behind two free slots.
    zones = Zones(0, chunk_size // erofs.SLOT, block_size // erofs.SLOT)
    lead = 2
    for layer in layout.layers:
        for members in layer.zones:
            offsets, used = _slots(tree, members, lead, block_size)
            first = zones.take(used)
            for inode, offset in zip(members, offsets, strict=True):
                nid[inode] = first + offset
            lead = 0
    assert nid[ROOT] <= erofs.ROOT_NID_MAX
    per_chunk = chunk_size // block_size
    meta_end = layout.end * block_size + zones.next * erofs.SLOT
    blocks = Zones(-(-meta_end // chunk_size) * per_chunk, per_chunk)
    listing: dict[tuple[int, int], int] = {}
    for number, layer in enumerate(layout.layers):
        sizes = [-(-_listing_bytes(tree, directory, number, block_size) // block_size) for directory in layer.listings]
        first = blocks.take(sum(sizes))
        for directory, size in zip(layer.listings, sizes, strict=True):
            listing[directory, number] = first
            first += size
    return ErofsPlan(layout, nid, listing, parents_of(tree), -(-blocks.next // per_chunk) * per_chunk)


def _slots(tree: Tree, inodes: array[int], lead: int, block_size: int) -> tuple[array[int], int]:
    """Slots of inodes one behind the other, after `lead` free ones; and how many slots that takes.

    A symlink's target may not cross a block, so its inode waits for the next one where it would.
    """
    per_block = block_size // erofs.SLOT
    offsets = array("Q")
    used = lead
    for inode in inodes:
        size, tail = _record_size(tree, inode, block_size)
        if tail and used % per_block * erofs.SLOT + size > block_size:
            used = -(-used // per_block) * per_block
        offsets.append(used)
        used += -(-size // erofs.SLOT)
    return offsets, used


def _record_size(tree: Tree, inode: int, block_size: int) -> tuple[int, bool]:
    """Bytes of an inode with what follows it, and whether that is inline content."""
    size = erofs.INODE
    if inode in tree.xattrs:
        size += len(erofs.xattr_body(tree.xattrs[inode]))
    if inode in tree.targets and _is_inline(tree, inode, block_size):
        return size + tree.size[inode], True
    if inode in tree.sparse:
        size += 4 * _map_length(tree.size[inode], block_size)
    return size, False


def _map_length(size: int, block_size: int) -> int:
    return -(-size // (block_size << _map_bits(size, block_size)))


def _listing_bytes(tree: Tree, directory: int, layer: int, block_size: int) -> int:
    names = [name for name, _ in tree.entries_at(directory, layer)]
    names += (b".", b"..")
    names.sort()
    return erofs.listing_size(names, block_size)


def write_erofs(tree: Tree, plan: ErofsPlan, out: ImageOutput) -> None:
    """Write the image. The same tree and spool give the same bytes."""
    layout = plan.layout
    out.seek(erofs.SUPER_OFFSET)
    out.write(
        erofs.superblock(
            root_nid=plan.nid[ROOT],
            inodes=sum(1 for inode in range(tree.inodes) if is_living(tree, inode)),
            blocks=plan.blocks,
            meta_block=layout.end,
            uuid=_UUID,
            incompat=erofs.INCOMPAT_CHUNKED if tree.sparse else 0,
            block_size=plan.block_size,
        )
    )
    for layer in layout.layers:
        write_contents(tree, layout, layer.data, out)
    base = layout.end * plan.block_size
    for layer in layout.layers:
        for members in layer.zones:
            for inode in members:
                if is_living(tree, inode):
                    out.seek(base + plan.nid[inode] * erofs.SLOT)
                    out.write(_record(tree, plan, inode))
    for number, layer in enumerate(layout.layers):
        for directory in layer.listings:
            out.seek(plan.listing[directory, number] * plan.block_size)
            for block in erofs.listing(_entries(tree, plan, directory, number), plan.block_size):
                out.write(block)
    out.seek(plan.size)
    out.flush()


def _entries(tree: Tree, plan: ErofsPlan, directory: int, layer: int) -> Iterator[tuple[bytes, int, int]]:
    entries = tree.entries_at(directory, layer)
    entries += ((b".", directory), (b"..", plan.parent[directory]))
    entries.sort()
    for name, inode in entries:
        yield name, plan.nid[inode], FILE_TYPES[stat.S_IFMT(tree.mode[inode])]


def _record(tree: Tree, plan: ErofsPlan, inode: int) -> bytes:
    """An inode and what stands behind it."""
    mode, size = tree.mode[inode], tree.size[inode]
    location, links, kind, tail = plan.layout.start[inode], tree.links[inode], erofs.FLAT_PLAIN, b""
    if tree.is_directory(inode):
        layer = tree.touched[inode][-1]
        location = plan.listing[inode, layer]
        size = _listing_bytes(tree, inode, layer, plan.block_size)
        links = 2 + tree.subdirectories(inode)
    elif inode in tree.targets:
        if _is_inline(tree, inode, plan.block_size):
            kind, tail = erofs.FLAT_INLINE, tree.targets[inode]
    elif inode in tree.sparse:
        kind, location, tail = erofs.CHUNK_BASED, _map_bits(size, plan.block_size), _block_map(tree, plan, inode)
    body = erofs.xattr_body(tree.xattrs.get(inode, ()))
    head = erofs.inode(
        layout=kind,
        mode=mode,
        size=size,
        location=location,
        number=inode + 1,
        uid=tree.uid[inode],
        gid=tree.gid[inode],
        mtime=tree.mtime[inode],
        links=links,
        xattr_bytes=len(body),
    )
    return head + body + tail


def _block_map(tree: Tree, plan: ErofsPlan, inode: int) -> bytes:
    """Where each unit of a sparse file is, or that it is a hole."""
    size = tree.size[inode]
    bits = _map_bits(size, plan.block_size)
    blocks = array("I", [erofs.HOLE]) * _map_length(size, plan.block_size)
    place = plan.layout.start[inode]
    for first, count in plan.layout.geometry.stored(tree, inode):
        for at in range(first, first + count, 1 << bits):
            blocks[at >> bits] = place
            place += 1 << bits
    assert blocks.itemsize == 4
    return b"".join(block.to_bytes(4, "little") for block in blocks)
