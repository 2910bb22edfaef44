"""How the API process gives up being root.

Started by root, it becomes a user of its own without any capability, who owns `state/` and `destinations/` and nothing
else. An interpreter or a source tree below a directory that this user may not enter (root's home, often) stays
reachable: the process gets a mount namespace in which such a directory shows only the ways to what Python needs.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

import lambdad
from lambdad.linux import syscalls
from lambdad.node.config import Config, ConfigError
from lambdad.node.paths import Paths

_DYNAMIC_UIDS = range(61_184, 65_520)
"""Where systemd puts users that exist only while a service runs: no package and no person has them."""


def api_identity(config: Config) -> tuple[int, int]:
    """User and group of the API process; our own where we are not root. Raises `ConfigError`."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    name = config.api_user or "lambdad"
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        if config.api_user:
            raise ConfigError(f"api_user {config.api_user!r} is no user of this machine") from None
        digest = hashlib.sha256(os.fsencode(config.data_dir)).digest()
        uid = _DYNAMIC_UIDS[int.from_bytes(digest[:4], "big") % len(_DYNAMIC_UIDS)]
        return uid, uid
    return entry.pw_uid, entry.pw_gid


def prepare_directories(config: Config) -> None:
    """Give the API process what is its own; called as root, before it starts."""
    paths = Paths(config.data_dir)
    paths.make_worker()
    paths.make_state()
    if os.geteuid() != 0:
        return
    uid, gid = api_identity(config)
    for place in (paths.destinations, paths.state, *paths.state.rglob("*")):
        if place.lstat().st_uid != uid:
            os.chown(place, uid, gid, follow_symlinks=False)
    os.chown(paths.logs, 0, gid)
    paths.logs.chmod(0o2750)


def drop(config: Config) -> None:
    """Become the API's user. There is no way back. Nothing happens where we are not root."""
    if os.geteuid() != 0:
        return
    uid, gid = api_identity(config)
    open_ways((*python_places(), str(config.data_dir)))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.environ["HOME"] = "/nonexistent"


def python_places() -> tuple[str, ...]:
    """What this interpreter needs to go on, and to be started again."""
    return (sys.prefix, sys.base_prefix, *lambdad.__path__, *sys.path)


def open_ways(needed: Iterable[str]) -> None:
    """In a mount namespace of our own, make paths reachable for users who may not reach them. Needs root."""
    blocked: dict[Path, set[Path]] = {}
    for text in needed:
        path = Path(text).resolve()
        if path.is_dir():
            obstacle = next((parent for parent in reversed(path.parents) if not _is_open(parent)), None)
            if obstacle is not None:
                blocked.setdefault(obstacle, set()).add(path)
    if not blocked:
        return
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    for obstacle, paths in blocked.items():
        outermost = [path for path in paths if not any(other in path.parents for other in paths)]
        copies = {path: syscalls.open_tree(str(path)) for path in outermost}
        cover = syscalls.make_filesystem("tmpfs", {"size": "256k", "mode": "755"}, syscalls.MOUNT_ATTR_NOSUID)
        syscalls.move_mount(cover, str(obstacle))
        os.close(cover)
        for path, copy in copies.items():
            path.mkdir(parents=True, exist_ok=True)
            syscalls.move_mount(copy, str(path))
            os.close(copy)


def _is_open(directory: Path) -> bool:
    """Whether everybody may go through it."""
    return bool(directory.stat().st_mode & stat.S_IXOTH)
