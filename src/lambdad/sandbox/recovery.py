"""What a killed worker left on the host, found by the names of its state directory, and removed.

Volumes need no recovery: their files have no names and their loop devices free themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from pathlib import Path

from lambdad.linux import syscalls
from lambdad.linux.cgroup import CgroupTree

_log = logging.getLogger(__name__)

_DELAY_S = 0.02
_ATTEMPTS = 500
_OWN_FILES = ("etc", "stage", "volumes")


async def remove_leftovers(state_dir: Path, tree: CgroupTree) -> None:
    """Kill what is in the tree's groups, remove them, unmount what is mounted below `state_dir`."""
    groups = tree.existing()
    for _ in range(_ATTEMPTS):
        remaining = []
        for group in groups:
            group.kill()
            if not group.remove():
                remaining.append(group)
        groups = remaining
        if not groups:
            break
        await asyncio.sleep(_DELAY_S)
    if groups:
        _log.warning("%d control groups of an earlier worker stay busy", len(groups))
    remove_files(state_dir)


def remove_files(state_dir: Path) -> None:
    """Unmount and remove what the driver keeps in `state_dir`."""
    for mount_point in reversed(_mounts_below(str(state_dir))):
        with contextlib.suppress(OSError):
            syscalls.umount(mount_point, syscalls.MNT_DETACH)
    for name in _OWN_FILES:
        shutil.rmtree(state_dir / name, ignore_errors=True)


def _mounts_below(directory: str) -> list[str]:
    found = []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            point = os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
            if point.startswith(f"{directory}/"):
                found.append(point)
    return found
