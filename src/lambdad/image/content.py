"""What both encoders share: contents at their places, runs of sparse files, parents, file types."""

from __future__ import annotations

import stat
from array import array

from lambdad.image.layout import Layout
from lambdad.image.output import ImageOutput
from lambdad.image.tree import ROOT, Tree

FILE_TYPES = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFIFO: 5, stat.S_IFLNK: 7}
"""File type in a directory entry: the same numbers in ext4 and EROFS."""


def data_runs(segments: array[int], unit: int) -> list[tuple[int, int]]:
    """Runs of units of so many bytes that hold data of a sparse file: first unit, count."""
    found: list[tuple[int, int]] = []
    for offset, length in zip(segments[::2], segments[1::2], strict=True):
        first, end = offset // unit, -(-(offset + length) // unit)
        if found and first <= sum(found[-1]):
            start = found[-1][0]
            found[-1] = (start, max(end, sum(found[-1])) - start)
        else:
            found.append((first, end - first))
    return found


def parents_of(tree: Tree) -> array[int]:
    """The parent of each directory, by inode; the root is its own."""
    parent = array("I", bytes(4 * tree.inodes))
    parent[ROOT] = ROOT
    for entry in range(tree.entries):
        if tree.is_directory(tree.entry_inode[entry]):
            parent[tree.entry_inode[entry]] = tree.parent[entry]
    return parent


def write_contents(tree: Tree, layout: Layout, inodes: array[int], out: ImageOutput) -> None:
    """Contents at their places. What a later layer removed keeps its place, as a hole."""
    block = layout.geometry.block_size
    for inode in inodes:
        if tree.links[inode] == 0:
            continue
        start = layout.start[inode] * block
        if inode in tree.targets:
            out.seek(start)
            out.write(tree.targets[inode])
        elif inode in tree.sparse:
            _write_sparse(tree, layout, inode, out)
        else:
            out.seek(start)
            out.copy(tree.offset[inode], tree.size[inode])


def _write_sparse(tree: Tree, layout: Layout, inode: int, out: ImageOutput) -> None:
    """Each data segment at its place in the run that holds it."""
    block = layout.geometry.block_size
    extents = iter(layout.geometry.stored(tree, inode))
    first = count = 0
    place = following = layout.start[inode]
    spooled = tree.offset[inode]
    segments = tree.sparse[inode]
    for offset, length in zip(segments[::2], segments[1::2], strict=True):
        while offset >= (first + count) * block:
            place = following
            first, count = next(extents)
            following += count
        out.seek((place - first) * block + offset)
        out.copy(spooled, length)
        spooled += length
