"""Which package owns which file, as Debian's package manager recorded it in the image."""

from __future__ import annotations

import os

from lambdad.image.tree import ROOT, Tree

_LISTS = (b"var", b"lib", b"dpkg", b"info")
_BYTES_MAX = 64 * 1024 * 1024
"""Of all lists together: a full desktop has a tenth of this."""


def debian_packages(tree: Tree, spool: int) -> dict[bytes, bytes]:
    """Path without leading slash -> name of a group for the planner. Empty for images without dpkg.

    The lowest layer's list that names a path wins, even if a later layer removed it: a layer's groups do not depend
    on what is above it. spool: descriptor of the contents.
    """
    directory: int | None = ROOT
    for name in _LISTS:
        directory = tree.lookup(directory, name) if directory is not None and tree.is_directory(directory) else None
    if directory is None or not tree.is_directory(directory):
        return {}
    owners: dict[bytes, bytes] = {}
    budget = _BYTES_MAX
    entries = [*tree.children[directory].values(), *tree.graves.get(directory, ())]
    for entry in sorted(entries, key=lambda e: (tree.born[e], tree.name[e])):
        name, inode = tree.name[entry], tree.entry_inode[entry]
        if not name.endswith(b".list") or inode in tree.targets or inode in tree.sparse or tree.is_directory(inode):
            continue
        budget -= tree.size[inode]
        if budget < 0:
            break
        group = b"\0dpkg/" + name[: -len(b".list")].partition(b":")[0]
        for path in os.pread(spool, tree.size[inode], tree.offset[inode]).split(b"\n"):
            owners.setdefault(path.lstrip(b"/"), group)
    return owners
