"""The merged directory tree of all layers, which remembers what each layer did.

Not a file system: it holds names and attributes, contents stay in a spool file. Built for a million files: parallel
arrays and integers instead of objects, about 300 bytes for each file with its name.

The rule it keeps: **what layer k did is never forgotten by layer k+1**. A removed entry goes to a graveyard with the
layer that removed it, so the planner can give every layer the same place and the same bytes in every image that has
it, whatever later layers delete (see docs/design/image-layout.md).
"""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

ALIVE = 0xFFFF
"""`died` of an entry that no layer removed."""
ROOT = 0
"""Inode of the root directory."""

Xattrs = tuple[tuple[bytes, bytes], ...]
"""Extended attributes, full name and value, sorted by name."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What `stat` shows of a file, besides its content. mode: with the type bits. mtime: nanoseconds."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Xattrs = ()


class Tree:
    """Inodes and directory entries by number. Readers index the arrays; only the methods change them."""

    __slots__ = (
        "born",
        "children",
        "died",
        "entry_inode",
        "explicit",
        "gid",
        "graves",
        "inode_layer",
        "layers",
        "links",
        "mode",
        "mtime",
        "name",
        "offset",
        "parent",
        "size",
        "sparse",
        "stillborn",
        "targets",
        "touched",
        "uid",
        "xattrs",
    )

    def __init__(self) -> None:
        self.mode = array("H")
        self.uid = array("I")
        self.gid = array("I")
        self.mtime = array("q")
        self.size = array("Q")
        """Apparent size of a regular file, length of a symlink's target."""
        self.offset = array("Q")
        """Where a regular file's content starts in the spool."""
        self.inode_layer = array("H")
        """The layer that created the inode; its place in the image belongs to that layer's part."""
        self.links = array("I")
        """Living entries; zero for an inode that a layer removed."""
        self.xattrs: dict[int, Xattrs] = {}
        self.targets: dict[int, bytes] = {}
        self.sparse: dict[int, array[int]] = {}
        """offset, length, offset, length ... of the data in a sparse file; stored back to back in the spool."""
        self.stillborn: set[int] = set()
        """Inodes that the layer which made them also removed: as if they had never been."""

        self.name: list[bytes] = []
        self.parent = array("I")
        self.entry_inode = array("I")
        self.born = array("H")
        self.died = array("H")

        self.children: dict[int, dict[bytes, int]] = {}
        """Directory inode -> name -> living entry."""
        self.graves: dict[int, list[int]] = {}
        """Directory inode -> entries that a later layer removed."""
        self.touched: dict[int, list[int]] = {}
        """Directory inode -> layers after which its list of entries was another, ascending."""
        self.explicit: dict[int, int] = {}
        """Directory inode -> last layer whose archive names it."""
        self.layers = 0

        self._new_inode(Attributes(stat.S_IFDIR | 0o755), 0)
        self.links[ROOT] = 1

    @property
    def inodes(self) -> int:
        """How many inodes were ever made."""
        return len(self.mode)

    @property
    def entries(self) -> int:
        """How many directory entries were ever made."""
        return len(self.name)

    def begin_layer(self) -> int:
        """Start the next layer; its number, from 0."""
        self.layers += 1
        return self.layers - 1

    def is_directory(self, inode: int) -> bool:
        return stat.S_ISDIR(self.mode[inode])

    def lookup(self, directory: int, name: bytes) -> int | None:
        """The living inode of that name."""
        entry = self.children[directory].get(name)
        return None if entry is None else self.entry_inode[entry]

    def new_inode(self, attributes: Attributes, *, size: int = 0, offset: int = 0) -> int:
        """An inode of the current layer, without a name yet."""
        inode = self._new_inode(attributes, self.layers - 1)
        self.size[inode] = size
        self.offset[inode] = offset
        return inode

    def link(self, directory: int, name: bytes, inode: int) -> None:
        """Give `inode` a name, in place of whatever had it."""
        layer = self.layers - 1
        old = self.children[directory].get(name)
        if old is not None:
            self._bury(old, layer)
        entry = len(self.name)
        self.name.append(name)
        self.parent.append(directory)
        self.entry_inode.append(inode)
        self.born.append(layer)
        self.died.append(ALIVE)
        self.children[directory][name] = entry
        self.links[inode] += 1
        self._touch(directory, layer)

    def set_attributes(self, inode: int, attributes: Attributes) -> None:
        """Replace a directory's attributes: the archive names a directory that is there already."""
        self.mode[inode] = attributes.mode
        self.uid[inode] = attributes.uid
        self.gid[inode] = attributes.gid
        self.mtime[inode] = attributes.mtime
        if attributes.xattrs:
            self.xattrs[inode] = attributes.xattrs
        else:
            self.xattrs.pop(inode, None)

    def hide(self, directory: int, name: bytes) -> None:
        """A whiteout: what lower layers put there goes; what this layer put there stays."""
        entry = self.children[directory].get(name)
        if entry is None or self.born[entry] == self.layers - 1:
            return
        inode = self.entry_inode[entry]
        if self.is_directory(inode) and self.explicit.get(inode) == self.layers - 1:
            self.hide_children(inode)
        else:
            self._hide_tree(entry)

    def hide_children(self, directory: int) -> None:
        """An opaque directory: the children from lower layers go, at every depth."""
        for entry in list(self.children[directory].values()):
            if self.born[entry] != self.layers - 1:
                self._hide_tree(entry)

    def entries_at(self, directory: int, layer: int) -> list[tuple[bytes, int]]:
        """Names and inodes of a directory as they were after `layer`, sorted by name."""
        found = [(name, self.entry_inode[e]) for name, e in self.children[directory].items() if self.born[e] <= layer]
        found += [
            (self.name[entry], self.entry_inode[entry])
            for entry in self.graves.get(directory, ())
            if self.born[entry] <= layer < self.died[entry]
        ]
        found.sort()
        return found

    def walk(self) -> Iterator[tuple[int, bytes, list[int]]]:
        """Every directory that ever was, parents first: inode, path without leading slash, its entries by name.

        The entries are those of all layers, removed ones too: what one layer contributed comes in the same order
        whatever other layers did.
        """
        stack: list[tuple[int, bytes]] = [(ROOT, b"")]
        while stack:
            directory, path = stack.pop()
            entries = list(self.children[directory].values())
            if directory in self.graves:
                entries += self.graves[directory]
            entries.sort(key=lambda e: (self.name[e], self.born[e]))
            yield directory, path, entries
            for entry in reversed(entries):
                inode = self.entry_inode[entry]
                if self.is_directory(inode):
                    name = self.name[entry]
                    stack.append((inode, path + b"/" + name if path else name))

    def subdirectories(self, directory: int) -> int:
        """How many living children are directories."""
        return sum(1 for entry in self.children[directory].values() if self.is_directory(self.entry_inode[entry]))

    def _new_inode(self, attributes: Attributes, layer: int) -> int:
        inode = len(self.mode)
        self.mode.append(attributes.mode)
        self.uid.append(attributes.uid)
        self.gid.append(attributes.gid)
        self.mtime.append(attributes.mtime)
        self.size.append(0)
        self.offset.append(0)
        self.inode_layer.append(layer)
        self.links.append(0)
        if attributes.xattrs:
            self.xattrs[inode] = attributes.xattrs
        if stat.S_ISDIR(attributes.mode):
            self.children[inode] = {}
            self._touch(inode, layer)
        return inode

    def _touch(self, directory: int, layer: int) -> None:
        layers = self.touched.setdefault(directory, [])
        if not layers or layers[-1] != layer:
            layers.append(layer)

    def _hide_tree(self, top: int) -> None:
        """Bury what is older than this layer; a directory stays if this layer names it or put something into it."""
        order = [top]
        for entry in order:
            inode = self.entry_inode[entry]
            if self.is_directory(inode):
                order += [e for e in self.children[inode].values() if self.born[e] != self.layers - 1]
        for entry in reversed(order):
            inode = self.entry_inode[entry]
            kept = self.is_directory(inode) and (self.children[inode] or self.explicit.get(inode) == self.layers - 1)
            if not kept:
                self._bury(entry, self.layers - 1)

    def _bury(self, top: int, layer: int) -> None:
        """Remove an entry and everything below it."""
        stack = [top]
        while stack:
            entry = stack.pop()
            directory, inode = self.parent[entry], self.entry_inode[entry]
            del self.children[directory][self.name[entry]]
            self.died[entry] = layer
            self._touch(directory, layer)
            if self.born[entry] != layer:
                self.graves.setdefault(directory, []).append(entry)
            self.links[inode] -= 1
            if self.links[inode] == 0 and self.inode_layer[inode] == layer:
                self.stillborn.add(inode)
            if self.is_directory(inode):
                stack += self.children[inode].values()
