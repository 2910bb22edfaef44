"""Where every block of an image goes: a pure function of the tree. No bytes, no I/O.

The image is cut into fixed chunks that are stored once for all images, so equal files must become equal chunks. The
rule that brings this about: **the place of everything that layer k brought depends on layers 1..k only, and inside a
package on the package only**. docs/design/image-layout.md gives the reasons and the measurements.

Both encoders read the same `Layout`; they differ in the `Geometry` that they pass in.
"""

from __future__ import annotations

import stat
import zlib
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from lambdad.image.tree import ROOT, Tree

NOWHERE = 0
"""`start` of what has no blocks; block 0 always belongs to the superblock."""
_BIG = 256 * 1024
"""Bytes from which a file gets chunks of its own: half a chunk, so it wastes no more than it fills."""
_CUT_AFTER = 192 * 1024
"""Bytes after which a packed run may start a new chunk at a name that says so."""
_CUT_MASK = 3
"""One name in four says so: after a change, packing is back in step some four files later."""
_COMPILED = b"__pycache__"
"""Bytecode is another in each build, for it holds the time of its source; and it is what a start reads of a package."""
_CONTAINERS = frozenset((b"site-packages", b"dist-packages", b"node_modules"))
_BUSY_DEPTH = 3
"""Down to this depth, directories of one layer mostly change in the next."""
_LOOSE_DEPTH = 4
"""Directories below the root that name a group where no package manager does."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What an encoder wants. block_size, chunk_size: bytes.

    stored: logical extents of an inode's content as (first block, blocks); empty for what needs no data blocks.
    beside: blocks beside the data that an inode needs, such as an extent tree.
    """

    block_size: int
    chunk_size: int
    stored: Callable[[Tree, int], Iterable[tuple[int, int]]]
    beside: Callable[[Tree, int], int]


@dataclass(slots=True)
class LayerPlan:
    """One layer's part of an image: inodes by number, places by block.

    data: in the order of their content in the image. inodes: all that are not directories, in table order.
    busy, quiet: directories that the layer made, those that later layers will likely change apart from the others.
    listings: directories whose entries the layer changed. extras: inodes with extra blocks.
    """

    data: array[int] = field(default_factory=lambda: array("I"))
    inodes: array[int] = field(default_factory=lambda: array("I"))
    busy: array[int] = field(default_factory=lambda: array("I"))
    quiet: array[int] = field(default_factory=lambda: array("I"))
    listings: array[int] = field(default_factory=lambda: array("I"))
    extras: list[int] = field(default_factory=list)

    @property
    def zones(self) -> tuple[array[int], array[int], array[int]]:
        """Runs of the inode table. Every image changes some directory, and with it the chunk of its inode."""
        return self.busy, self.quiet, self.inodes


@dataclass(slots=True)
class Layout:
    """start: block of an inode's first data block, by inode. extra_start: of its extra blocks.
    end: first block behind the last layer's data, on a chunk boundary. layer_starts: first block of each layer's."""

    geometry: Geometry
    layers: list[LayerPlan]
    start: array[int]
    extra_start: dict[int, int]
    end: int
    layer_starts: list[int] = field(default_factory=list)


class Zones:
    """Hands out places for runs of metadata, in units of `unit` bytes, so that big runs keep chunks of their own.

    A run of a quarter chunk or more starts on a chunk, and so does what follows it; small ones share. What follows
    a big run keeps its place while the run grows by less than about an eighth.
    """

    def __init__(self, first: int, per_chunk: int, align: int = 1) -> None:
        """align: units on whose multiples every run starts."""
        self.next = first
        self._align = align
        self._per_chunk = per_chunk
        self._after_big = True

    def take(self, units: int) -> int:
        """The first unit of a run of so many."""
        big = units * 4 >= self._per_chunk
        if units and (big or self._after_big):
            self.next = _round_up(self.next, self._per_chunk)
        first = self.next = _round_up(self.next, self._align)
        if units:
            self.next = first + units
            if big:
                self.next = _round_up(self.next, slack(units, self._per_chunk))
            self._after_big = big
        return first


def slack(used: int, least: int) -> int:
    """The power of two, at least `least`, to which the end of something so big is rounded: 1/16 to 1/8 of it."""
    return max(least, 1 << max(used.bit_length() - 4, 0))


def plan_layout(tree: Tree, geometry: Geometry, packages: Mapping[bytes, bytes]) -> Layout:
    """Place all contents. packages: path without leading slash -> name of the package that owns the file."""
    layers = [LayerPlan() for _ in range(max(tree.layers, 1))]
    groups = _collect(tree, packages, layers)
    layout = Layout(geometry, layers, array("Q", bytes(8 * tree.inodes)), {}, 0)
    per_chunk = geometry.chunk_size // geometry.block_size
    block = per_chunk
    for plan, found in zip(layers, groups, strict=True):
        block = _round_up(block, per_chunk)
        first = block
        layout.layer_starts.append(first)
        packer = _Packer(tree, layout, plan, block)
        _place_groups(tree, geometry, packer, found)
        block = packer.place_extras()
        if block > first:
            block = first + _round_up(block - first, slack(block - first, per_chunk))
    layout.end = _round_up(block, per_chunk)
    return layout


_Members: TypeAlias = "dict[tuple[bool, bytes], tuple[array[int], array[int]]]"
"""Group -> inodes, and for each the checksum of its name that decides about cuts.

A group: whether it is bytecode, and a name."""


def _collect(tree: Tree, packages: Mapping[bytes, bytes], layers: list[LayerPlan]) -> list[_Members]:
    """Sort all inodes to the layer that brought them, and there into groups."""
    groups: list[_Members] = [{} for _ in layers]
    seen = bytearray(tree.inodes)
    deaths: dict[int, int] = {}
    containers = _paths_to_containers(tree)
    for directory, path, entries in tree.walk():
        plan = layers[tree.inode_layer[directory]]
        (plan.busy if path.count(b"/") < _BUSY_DEPTH or path in containers else plan.quiet).append(directory)
        death = deaths.pop(directory, 1 << 16)
        for layer in tree.touched[directory]:
            if layer < death:
                layers[layer].listings.append(directory)
        here = _group_of_directory(path)
        prefix = path + b"/" if path else b""
        tail = path.rsplit(b"/", 1)[-1] + b"/"
        is_compiled = tail == _COMPILED + b"/"
        for entry in entries:
            inode = tree.entry_inode[entry]
            if tree.is_directory(inode):
                deaths[inode] = tree.died[entry]
                continue
            layer = tree.inode_layer[inode]
            if seen[inode] or tree.born[entry] != layer:
                continue
            seen[inode] = 1
            name = tree.name[entry]
            group = packages.get(prefix + name) if packages else None
            if group is None:
                group = here if here is not None else prefix + name
            members = groups[layer].setdefault((is_compiled, group), (array("I"), array("I")))
            members[0].append(inode)
            members[1].append(zlib.crc32(tail + name))
    return groups


def _paths_to_containers(tree: Tree) -> set[bytes]:
    """Directories into which package managers install, and those above them."""
    found: set[bytes] = set()
    for _, path, _ in tree.walk():
        if path.rpartition(b"/")[2] in _CONTAINERS:
            while path and path not in found:
                found.add(path)
                path = path.rpartition(b"/")[0]
    return found


def _group_of_directory(path: bytes) -> bytes | None:
    """The group of the files in a directory; None where every file is a package of its own."""
    parts = path.split(b"/")
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] in _CONTAINERS:
            length = at + 2
            if length <= len(parts) and parts[at + 1].startswith(b"@"):
                length += 1
            return b"/".join(parts[:length]) if length <= len(parts) else None
    return b"/".join(parts[:_LOOSE_DEPTH])


def _place_groups(tree: Tree, geometry: Geometry, packer: _Packer, groups: _Members) -> None:
    """Big groups on chunks of their own, the others together; inside each, big files last and aligned.

    Bytecode comes last, in groups of its own: one compiled file would make a chunk of sources another.
    """
    for is_compiled in (False, True):
        _place_kind(tree, geometry, packer, {name: groups[name] for name in sorted(groups) if name[0] is is_compiled})


def _place_kind(tree: Tree, geometry: Geometry, packer: _Packer, groups: _Members) -> None:
    quarter = geometry.chunk_size // 4
    loose_small: list[tuple[int, int]] = []
    loose_big: list[int] = []
    for members in groups.values():
        small: list[tuple[int, int]] = []
        big: list[int] = []
        weight = 0
        for inode, checksum in zip(*members, strict=True):
            size = tree.size[inode]
            if size >= _BIG and stat.S_ISREG(tree.mode[inode]):
                big.append(inode)
            else:
                weight += size
                small.append((inode, checksum))
        if weight < quarter:
            loose_small += small
            loose_big += big
            continue
        packer.align()
        packer.pack(small)
        packer.place_big(big)
    packer.align()
    packer.pack(loose_small)
    packer.place_big(loose_big)


class _Packer:
    """The next free block of a layer, and who got which."""

    def __init__(self, tree: Tree, layout: Layout, plan: LayerPlan, block: int) -> None:
        self._tree = tree
        self._layout = layout
        self._plan = plan
        self._block = block
        self._geometry = layout.geometry
        self._per_chunk = self._geometry.chunk_size // self._geometry.block_size

    def align(self) -> None:
        self._block = _round_up(self._block, self._per_chunk)

    def pack(self, members: list[tuple[int, int]]) -> None:
        """One behind the other; a new chunk only where a name asks for it, so that a change does not move the rest."""
        start = self._block
        cut_after = _CUT_AFTER // self._geometry.block_size
        for inode, checksum in members:
            if not checksum & _CUT_MASK and self._block - start >= cut_after:
                self.align()
                start = self._block
            self._place(inode)

    def place_big(self, inodes: list[int]) -> None:
        for inode in inodes:
            self.align()
            self._place(inode)
        if inodes:
            self.align()

    def _place(self, inode: int) -> None:
        self._plan.inodes.append(inode)
        blocks = sum(count for _, count in self._geometry.stored(self._tree, inode))
        if self._geometry.beside(self._tree, inode):
            self._plan.extras.append(inode)
        if blocks:
            self._plan.data.append(inode)
            self._layout.start[inode] = self._block
            self._block += blocks

    def place_extras(self) -> int:
        """Extent trees and the like, on chunks of their own behind the data; the first free block after them."""
        extras = self._plan.extras
        for directory in (*self._plan.busy, *self._plan.quiet):
            if directory in self._tree.xattrs and self._geometry.beside(self._tree, directory):
                extras.append(directory)
        if extras:
            self.align()
        for inode in extras:
            self._layout.extra_start[inode] = self._block
            self._block += self._geometry.beside(self._tree, inode)
        return self._block


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def is_living(tree: Tree, inode: int) -> bool:
    """Whether the final tree has this inode."""
    return inode == ROOT or tree.links[inode] > 0
