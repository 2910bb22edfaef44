"""Rpm packages put beside a base, and what that would change: the same answer as `install` gives for Debian's.

Files only: scripts of rpm packages are written for a root with rpm's own tools, which a base of Debian is not; those
that would have run are named. What `ldconfig` would do needs nobody: libraries are found by DT_RPATH.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lambdad.pack.base import Base
from lambdad.pack.install import Installed, differences
from lambdad.pack.rpm_file import read_header, unpack


def install_rpms(base: Base, archives: Sequence[Path], scratch: Path) -> Installed:
    """Unpack `archives` into `scratch`, and say what differs from the base. Raises PackError."""
    if not archives:
        return Installed()
    tree = scratch / "rpms"
    tree.mkdir()
    owners: dict[str, str] = {}
    scripts = []
    for archive in archives:
        header = read_header(archive)
        for path in unpack(archive, header, tree):
            owners[path] = f"rpm:{header.name}"
        if header.scripts:
            scripts.append(header.name)
    found = differences(base, tree, owners)
    if scripts:
        found.warnings.insert(0, f"scripts of rpm packages were not run: {', '.join(sorted(scripts))}")
    return found
