"""The system calls that Python does not offer, each as one function that raises OSError.

Thin on purpose: names, flags and structures are the kernel's own. What is made of them is in the other modules here.
They need Linux 5.12 (`mount_setattr`).
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000

MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOATIME = 0x10

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

RESOLVE_IN_ROOT = 0x10

_PR_SET_PDEATHSIG = 1

_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6

# Numbers above 424 are the same on every architecture.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_OPENAT2 = 437
_MOUNT_SETATTR = 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def unshare(flags: int) -> None:
    """Leave the named namespaces for new ones. The calling process must have one thread for CLONE_NEWUSER."""
    _check(_libc.unshare(flags), "unshare", None)


def setns(namespace: int, kind: int) -> None:
    """Bring the calling thread into the namespace of a descriptor; `kind` is its CLONE_ flag."""
    _check(_libc.setns(namespace, kind), "setns", None)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2), for what the newer calls below cannot do shorter (propagation)."""
    data = options.encode() or None
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, data), "mount", target)


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send this process a signal when its parent dies. A change of user clears it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl", None)


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), "umount", target)


def open_tree(path: str, *, directory: int = AT_FDCWD, recursive: bool = True) -> int:
    """A detached copy of the mount at `path`, as a descriptor to move elsewhere; closing it unmounts the copy.

    An empty path means `directory` itself.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    if recursive:
        flags |= AT_RECURSIVE
    if not path:
        flags |= AT_EMPTY_PATH
    return _check(_libc.syscall(_OPEN_TREE, directory, os.fsencode(path), flags), "open_tree", path)


def move_mount(mount_fd: int, target: str) -> None:
    """Attach a detached mount at `target`."""
    result = _libc.syscall(_MOVE_MOUNT, mount_fd, b"", AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(result, "move_mount", target)


def set_mount_attributes(mount_fd: int, attributes: int, *, recursive: bool = True) -> None:
    """Add MOUNT_ATTR_* to a mount and cut its propagation both ways."""
    request = _MountAttr(attr_set=attributes, attr_clr=0, propagation=MS_PRIVATE, userns_fd=0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    size = ctypes.sizeof(request)
    _check(_libc.syscall(_MOUNT_SETATTR, mount_fd, b"", flags, ctypes.byref(request), size), "mount_setattr", None)


def make_filesystem(kind: str, options: dict[str, str | None], attributes: int) -> int:
    """A new detached mount of a file system. options: value, or None for a flag; each at most 255 bytes."""
    context = _check(_libc.syscall(_FSOPEN, kind.encode(), _FSOPEN_CLOEXEC), "fsopen", kind)
    try:
        for name, value in options.items():
            command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
            data = None if value is None else os.fsencode(value)
            what = f"{kind}: {name}={value}"
            _check(_libc.syscall(_FSCONFIG, context, command, name.encode(), data, 0), "fsconfig", what)
        _check(_libc.syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), "fsconfig", f"{kind}: create")
        return _check(_libc.syscall(_FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes), "fsmount", kind)
    finally:
        os.close(context)


def open_in_root(root_fd: int, path: str, flags: int) -> int:
    """Open `path` as if `root_fd` were the root directory: no link and no `..` leads out of it."""
    how = _OpenHow(flags=flags | os.O_CLOEXEC, mode=0, resolve=RESOLVE_IN_ROOT)
    result = _libc.syscall(_OPENAT2, root_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    return _check(result, "openat2", path)


def _check(result: int, call: str, what: str | None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", what)
    return int(result)
