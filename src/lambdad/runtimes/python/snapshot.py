"""Inside of a snapshot process: waits for requests to fork, and makes each fork the runtime process of a sandbox.

It sits in the runtime's tree as `lambdad_snapshot`, and runs in a process of the function's. The worker trusts nothing
of it; the function does: what a fork must lose (rights, ways to its siblings, everything that was drawn at random), it
loses here, before the function's hooks run. Imports nothing of lambdad; every CPython from 3.9.

A request is one packet on the socket whose number `_LAMBDAD_SNAPSHOT` names: orders (marshal), and as descriptors the
namespaces pid, mnt, net, ipc, uts, the output, and a socket on which the fork says `here PID` and hears `go`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import marshal
import os
import random
import socket
import stat
import sys
import threading
import warnings
from typing import Any

VARIABLE = "_LAMBDAD_SNAPSHOT"

_MESSAGE_MAX = 192 * 1024
_FDS_MAX = 16
_SPACES = (("mnt", 0x0002_0000), ("net", 0x4000_0000), ("ipc", 0x0800_0000), ("uts", 0x0400_0000))
_NEWPID = 0x2000_0000
_PR_SET_SECCOMP = 22
_CAPABILITIES_VERSION = 0x2008_0522
_SYS_CAPSET = 91 if os.uname().machine == "aarch64" else 126
_COPY_MAX = 64 * 1024 * 1024
_NOT_TO_REPEAT = os.O_CREAT | os.O_EXCL | os.O_TRUNC


def find_channel() -> socket.socket | None:
    """The socket for requests, if this process is to be a snapshot; the function does not see the variable."""
    number = os.environ.pop(VARIABLE, "")
    if not number.isdigit():
        return None
    channel = socket.socket(fileno=int(number))
    channel.set_inheritable(False)
    return channel


def wait_and_fork(channel: socket.socket) -> None:
    """Say that this process can be forked from, then fork at each request. Returns in the forks only."""
    libc = ctypes.CDLL(None, use_errno=True)
    _warn_of_threads()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    libc.fflush(None)
    gc.collect()
    gc.freeze()  # a fork shares what its collector does not touch
    channel.send(b"captured")
    while True:
        orders, fds = _receive(channel)
        if not orders:
            os._exit(0)
        _check(libc.setns(fds[0], _NEWPID), "setns pid")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of threads: said once, above
            between = os.fork()
        if between == 0:
            # The second fork belongs to process 1 of its place, which then knows how it ends. The first has run the
            # hooks of all modules that have some for forks; it has one thread and ends at once.
            if libc.fork():
                os._exit(0)
            _become_a_sandbox(libc, channel, marshal.loads(orders), fds)  # noqa: S302 (of the worker)
            return
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(ChildProcessError):  # the function ignores the ends of its children
            os.waitpid(between, 0)
        channel.send(b"forked")


def _become_a_sandbox(libc: ctypes.CDLL, channel: socket.socket, orders: dict[str, Any], fds: list[int]) -> None:
    """Move into the new namespaces, wait for the place in the control group, and be nobody's twin."""
    _, *spaces, output, own = fds
    place = socket.socket(fileno=own)
    try:
        channel.close()
        directory, files = os.getcwd(), _open_files()  # noqa: PTH109
        for space, (name, kind) in zip(spaces, _SPACES):  # noqa: B905 (3.9)
            _check(libc.setns(space, kind), "setns " + name)
        os.setsid()
        for fd in (1, 2):
            os.dup2(output, fd)
        for fd in (fds[0], *spaces, output):
            os.close(fd)
        _give_up_rights(libc, orders["filter"])
        place.send(b"here %d" % os.getpid())
        if not place.recv(16):
            os._exit(1)
        _chdir(directory)
        _reopen(files)
    except BaseException as error:
        place.send(f"error {type(error).__name__}: {error}".encode(errors="replace")[:4096])
        os._exit(1)
    place.close()
    os.environ.update(orders["environment"])
    _draw_anew()


def _give_up_rights(libc: ctypes.CDLL, program: bytes) -> None:
    """No capabilities, and the filter that every function has on top of the snapshot's own."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    _check(libc.syscall(_SYS_CAPSET, header, (ctypes.c_uint32 * 6)()), "capset")

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    value = Program(len(program) // 8, program)
    _check(libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(value), 0, 0), "seccomp")
    # A change of rights makes the process unreadable for itself in /proc.
    _check(libc.prctl(4, 1, 0, 0, 0), "dumpable")


def _draw_anew() -> None:
    """No two sandboxes may draw the same numbers, names or keys."""
    random.seed()
    if "tempfile" in sys.modules:
        tempfile: Any = sys.modules["tempfile"]
        tempfile._name_sequence = None
    if "uuid" in sys.modules:
        uuid: Any = sys.modules["uuid"]
        uuid._node = uuid._last_timestamp = None
    if "ssl" in sys.modules:
        # OpenSSL notices another process number and seeds itself; this says it, whatever the number.
        sys.modules["ssl"].RAND_add(os.urandom(48), 48.0)
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()


def _warn_of_threads() -> None:
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        text = (
            f"SnapStart: these threads are not restored: {', '.join(others)}. Start them after restore, or when used."
        )
        print(text, file=sys.stderr)  # noqa: T201


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = channel.recvmsg(_MESSAGE_MAX, socket.CMSG_SPACE(4 * _FDS_MAX), socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw) - 3, 4)]
    return data, fds


def _open_files() -> list[tuple[int, str, int, int]]:
    """Number, path, flags and position of each open file in /tmp, which is another /tmp in a moment."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        fd = int(name)
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
            if path.startswith("/tmp/") and stat.S_ISREG(os.fstat(fd).st_mode):
                found.append((fd, path, fcntl.fcntl(fd, fcntl.F_GETFL), os.lseek(fd, 0, os.SEEK_CUR)))
        except OSError:
            continue  # the directory's own, or closed meanwhile
    return found


def _reopen(files: list[tuple[int, str, int, int]]) -> None:
    """The same files of this sandbox's own /tmp in their places; one without a name is copied."""
    for fd, path, flags, position in files:
        inheritable = os.get_inheritable(fd)
        try:
            new = os.open(path, flags & ~_NOT_TO_REPEAT)
        except OSError:
            new = _copy_of(fd, flags)
        os.lseek(new, position, os.SEEK_SET)
        os.dup2(new, fd, inheritable)
        os.close(new)


def _copy_of(fd: int, flags: int) -> int:
    kept = flags & os.O_APPEND
    copy = os.open("/tmp", os.O_TMPFILE | os.O_RDWR | kept, 0o600)
    offset = 0
    try:
        while offset < _COPY_MAX and (data := os.pread(fd, 1 << 20, offset)):
            os.pwrite(copy, data, offset)
            offset += len(data)
    except OSError:
        pass  # it was open for writing only: nothing of it could be read
    return copy


def _chdir(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError:
        os.chdir("/")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
