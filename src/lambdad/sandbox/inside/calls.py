"""What the first processes of a sandbox ask of the kernel: system calls, packets with descriptors, their constants.

The rules of `launcher` hold: C modules and `os` only, types made once.
"""

# `typing` is not worth its memory here.
# mypy: allow-any-generics, allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import _socket
import ctypes
import os
import sys

MESSAGE_MAX = 192 * 1024
DESCRIPTORS_MAX = 64
RUNTIME_API = ("127.0.0.1", 9001)
BACKLOG = 128
FIRST_DOOR = 9010
"""As `lambdad.sandbox.doors.FIRST_PORT`."""

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 4, 22, 24, 36
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 38, 47
CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT, CAP_SYS_ADMIN = 5, 6, 7, 18, 21
RLIMIT_DATA, RLIMIT_CORE, RLIMIT_NPROC, RLIMIT_NOFILE = 2, 4, 6, 7
OOM_SCORE = "500"

ON_ARM = os.uname().machine == "aarch64"
SYS_PIVOT_ROOT, SYS_KEYCTL, SYS_CAPSET = (41, 219, 91) if ON_ARM else (155, 250, 126)
# Numbers above 424 are the same on every architecture.
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_CLOSE_RANGE, SYS_MOUNT_SETATTR = 428, 429, 436, 442

DEVICES = (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9))
DEVICE_LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
PROC_HIDDEN = ("acpi", "asound", "scsi", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "interrupts")
PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
# Types are made once, here: making one writes to many pages, and a fork shares what it does not write to.
Attributes, Limits, SignalSet = ctypes.c_uint64 * 4, ctypes.c_uint64 * 2, ctypes.c_uint64 * 16
CapabilityHeader, CapabilityData = ctypes.c_uint32 * 2, ctypes.c_uint32 * 6


class Refused(Exception):
    """The function cannot be started for a reason of its own. kind: AWS's name for it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, what + ": " + os.strerror(number))
    return result


def mount(source: str, target: str, kind: str, flags: int, options: str | None = None) -> None:
    data = None if options is None else options.encode()
    result = libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, data)
    check(result, "mount " + target)


def bind(source: str, target: str) -> None:
    mount(source, target, "", MS_BIND | MS_REC)


def restrict(path: str, attributes: int, flags: int = AT_RECURSIVE) -> None:
    """Add attributes to the mount at `path`."""
    request = Attributes(attributes, 0, 0, 0)
    check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, request, 32), "mount_setattr " + path)


def detach(path: str) -> int:
    """A detached copy of the mounts at `path`."""
    return check(libc.syscall(SYS_OPEN_TREE, AT_FDCWD, path.encode(), os.O_CLOEXEC | 1 | AT_RECURSIVE), "open_tree")


def attach(mount_fd: int, target: str) -> None:
    flags = 0x14  # the mount is the descriptor itself; a link at the target is followed, inside of the own root
    check(libc.syscall(SYS_MOVE_MOUNT, mount_fd, b"", AT_FDCWD, os.fsencode(target), flags), "move_mount " + target)
    os.close(mount_fd)


def enter_root(path: str) -> None:
    """Make the mount at `path` the root and lose the old one."""
    os.chdir(path)
    check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def keep_only(fds: list[int]) -> None:
    """Close every descriptor but these."""
    first = 0
    for fd in [*sorted(fds), 0x7FFFFFFF]:
        if fd > first and libc.syscall(SYS_CLOSE_RANGE, first, fd - 1, 0) < 0:
            os.closerange(first, min(fd, 1 << 20))
        first = fd + 1


def set_limit(kind: int, value: int) -> None:
    limits = Limits()
    check(libc.getrlimit(kind, limits), "getrlimit")
    value = min(value, limits[1])
    check(libc.setrlimit(kind, Limits(value, value)), "setrlimit")


def set_capabilities(permitted: int) -> None:
    """Of this process; none is inherited, in the bounding set or ambient."""
    number = 0
    while libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    check(libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0), "prctl ambient")
    header = CapabilityHeader(0x20080522, 0)
    check(libc.syscall(SYS_CAPSET, header, CapabilityData(permitted, permitted, 0, 0, 0, 0)), "capset")


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def set_filter(program: bytes) -> None:
    """No new privileges, then the seccomp program, for good."""
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    # Optional only for a kernel without seccomp: the driver then says so in its weaknesses and sends no program.
    if program:
        value = Program(len(program) // 8, program)
        check(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(value), 0, 0), "seccomp")


def write_file(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def receive(sock: _socket.socket) -> tuple[bytes, list[int]]:
    """The next packet and the descriptors that came with it; no bytes at the end."""
    space = _socket.CMSG_SPACE(4 * DESCRIPTORS_MAX)
    data, ancillary, _, _ = sock.recvmsg(MESSAGE_MAX, space, _socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, raw in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw) - 3, 4)]
    return data, fds


def send(sock: _socket.socket, data: bytes, fds: list[int]) -> None:
    raw = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, raw)] if fds else [])


def describe(error: BaseException) -> bytes:
    return f"{type(error).__name__}: {error}".encode(errors="replace")[:4096]


def make_mount_point(path: str, is_directory: bool) -> None:
    """Make `path` and what is above it, unless it is there."""
    if os.path.exists(path):
        return
    if is_directory:
        os.makedirs(path, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def report(control: _socket.socket, error: BaseException) -> None:
    """Tell the driver, unless it is not interested in this cell any more."""
    try:
        control.send(b"error " + describe(error))
    except OSError:
        pass
