"""Layers in, tree and spool out: the OCI rules of "layer.md" over a `Tree`.

Contents go back to back into one spool file; nothing else is written and no path of an archive is ever opened.
Symbolic links in the middle of a path are followed inside the tree, as container engines do, never outside it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from lambdad.image.errors import ImageTooLarge, InvalidImage
from lambdad.image.limits import Limits
from lambdad.image.tar import Entry, Kind
from lambdad.image.tree import ROOT, Attributes, Tree

_SYMLINKS_MAX = 40
"""Links followed while one path is resolved: the kernel's own limit."""
_IMPLIED = Attributes(stat.S_IFDIR | 0o755)
"""A directory that no layer describes: what container engines make of it."""


class LayerReader(Protocol):
    """Entries of one layer, in order; `pour` hands out the content of the entry that came last."""

    def __iter__(self) -> Iterator[Entry]: ...

    def pour(self, write: Callable[[memoryview], object]) -> None: ...


class Flattener:
    """Applies layers to a tree, lowest first."""

    def __init__(self, tree: Tree, spool: BinaryIO, limits: Limits) -> None:
        self._tree = tree
        self._spool = spool
        self._limits = limits
        self.spooled = 0
        """Bytes of contents so far."""
        self._segments = 0
        self._parents: dict[tuple[bytes, ...], int] = {}

    def apply(self, reader: LayerReader, advance: Callable[[], None]) -> None:
        """Add one layer. `advance` is called for every entry and may raise to stop."""
        self._tree.begin_layer()
        self._parents.clear()
        for entry in reader:
            advance()
            if self._tree.entries >= self._limits.entries:
                raise ImageTooLarge(f"the image has more than {self._limits.entries} files")
            self._apply(entry, reader)

    def _apply(self, entry: Entry, reader: LayerReader) -> None:
        tree = self._tree
        match entry.kind:
            case Kind.DIRECTORY:
                self._directory(entry)
                return
            case Kind.OPAQUE:
                found = self._find(entry.path)
                if found is not None and tree.is_directory(found):
                    self._parents.clear()
                    tree.hide_children(found)
                return
            case Kind.WHITEOUT:
                parent = self._find(entry.path[:-1])
                if parent is not None and tree.is_directory(parent):
                    self._parents.clear()
                    tree.hide(parent, entry.path[-1])
                return
            case Kind.HARDLINK:
                inode = self._link_target(entry)
                if inode is None:
                    return
            case Kind.SYMLINK:
                inode = tree.new_inode(entry.attributes, size=len(entry.target))
                tree.targets[inode] = entry.target
            case Kind.FIFO:
                inode = tree.new_inode(entry.attributes)
            case Kind.FILE:
                inode = self._file(entry, reader)
        parent = self._parent(entry.path[:-1])
        old = tree.lookup(parent, entry.path[-1])
        if old is not None and (tree.is_directory(old) or old in tree.targets):
            self._parents.clear()
        tree.link(parent, entry.path[-1], inode)

    def _file(self, entry: Entry, reader: LayerReader) -> int:
        tree = self._tree
        stored = entry.size if entry.segments is None else sum(entry.segments[1::2])
        if self.spooled + stored > self._limits.content_bytes:
            raise ImageTooLarge(f"the image's files hold more than {self._limits.content_bytes} bytes")
        inode = tree.new_inode(entry.attributes, size=entry.size, offset=self.spooled)
        if entry.segments is not None:
            self._segments += len(entry.segments) // 2
            if self._segments > self._limits.sparse_segments:
                raise ImageTooLarge("the image's sparse files have too many segments")
            tree.sparse[inode] = entry.segments
        reader.pour(self._spool.write)
        self.spooled += stored
        return inode

    def _link_target(self, entry: Entry) -> int | None:
        """The inode that a hard link names; None if it names itself."""
        tree = self._tree
        parent = self._find(entry.link_path[:-1]) if entry.link_path else None
        found = tree.lookup(parent, entry.link_path[-1]) if parent is not None and tree.is_directory(parent) else None
        where = b"/".join(entry.path).decode("utf-8", "backslashreplace")
        if found is None or tree.is_directory(found):
            raise InvalidImage(f"the hard link {where!r} has no file to link to")
        own = self._find(entry.path[:-1])
        if own is not None and tree.is_directory(own) and tree.lookup(own, entry.path[-1]) == found:
            return None
        return found

    def _directory(self, entry: Entry) -> None:
        tree = self._tree
        if not entry.path:
            tree.set_attributes(ROOT, entry.attributes)
            tree.explicit[ROOT] = tree.layers - 1
            return
        parent = self._parent(entry.path[:-1])
        found = tree.lookup(parent, entry.path[-1])
        if found is not None and tree.is_directory(found):
            tree.set_attributes(found, entry.attributes)
        else:
            self._parents.clear()
            found = tree.new_inode(entry.attributes)
            tree.link(parent, entry.path[-1], found)
        tree.explicit[found] = tree.layers - 1

    def _parent(self, path: tuple[bytes, ...]) -> int:
        """The directory at `path`, made if need be."""
        cached = self._parents.get(path)
        if cached is not None:
            return cached
        found = self._resolve(path, make=True)
        if found is None or not self._tree.is_directory(found):
            where = b"/".join(path).decode("utf-8", "backslashreplace")
            raise InvalidImage(f"{where!r} is a file or a broken link, and a layer puts files below it")
        if len(self._parents) > 4096:
            self._parents.clear()
        self._parents[path] = found
        return found

    def _find(self, path: tuple[bytes, ...]) -> int | None:
        cached = self._parents.get(path)
        return cached if cached is not None else self._resolve(path, make=False)

    def _resolve(self, path: tuple[bytes, ...], *, make: bool) -> int | None:
        """Walk a path inside the tree. Links are followed, `..` in their targets stops at the root."""
        tree = self._tree
        followed = 0
        trail = [ROOT]
        rest = list(reversed(path))
        while rest:
            name = rest.pop()
            if name == b"..":
                if len(trail) > 1:
                    trail.pop()
                continue
            here = trail[-1]
            if not tree.is_directory(here):
                return None
            found = tree.lookup(here, name)
            if found is None:
                if not make:
                    return None
                found = tree.new_inode(_IMPLIED)
                tree.link(here, name, found)
            if stat.S_ISLNK(tree.mode[found]):
                followed += 1
                if followed > _SYMLINKS_MAX:
                    return None
                target = tree.targets[found]
                if target.startswith(b"/"):
                    trail = [ROOT]
                rest += [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
                if len(rest) > self._limits.depth:
                    return None
                continue
            trail.append(found)
        return trail[-1]
