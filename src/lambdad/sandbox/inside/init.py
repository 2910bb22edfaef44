"""Process 1 of a cell, the *init*: it makes the cell, then reaps, reports, and ends with its driver."""

# `typing` is not worth its memory here.
# mypy: allow-any-generics, allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import select
import sys

from lambdad.sandbox.inside.calls import (
    ATTR_NODEV,
    ATTR_NOEXEC,
    ATTR_NOSUID,
    ATTR_RDONLY,
    BACKLOG,
    CAP_KILL,
    CAP_SETGID,
    CAP_SETUID,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    FIRST_DOOR,
    IFF_UP,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    PR_SET_DUMPABLE,
    PROC_HIDDEN,
    PROC_READ_ONLY,
    RUNTIME_API,
    SIOCSIFFLAGS,
    SignalSet,
    bind,
    check,
    enter_root,
    keep_only,
    libc,
    make_mount_point,
    mount,
    receive,
    report,
    restrict,
    send,
    set_capabilities,
    set_filter,
    write_file,
)
from lambdad.sandbox.inside.program import run_program
from lambdad.sandbox.inside.runtime_process import (
    run_runtime,
)


def run_init(control: _socket.socket, launch_fd: int, groups: list[int], config: dict):
    """Make the cell. Returns in the runtime process only, what it is to do next."""
    try:
        listeners = make_cell(groups, config["layout"], config["shares_network"], config["doors"])
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        runtime = os.fork()
        if runtime == 0:
            control.detach()
            for listener in listeners:
                listener.detach()
            ours.detach()
            keep_only([0, 1, 2, launch_fd, theirs.fileno()])
            return lambda: run_runtime(_socket.socket(fileno=launch_fd), theirs, config)
        # Without a handler process 1 cannot be signalled from below.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        theirs.close()
        os.close(launch_fd)
        pidfd = os.pidfd_open(runtime)
        send(control, b"ready", [*[listener.fileno() for listener in listeners], pidfd])
        os.close(pidfd)
        for listener in listeners:
            listener.close()
        attend(control, ours, runtime, config)
    except BaseException as error:
        report(control, error)
    os._exit(1)


def make_cell(groups: list[int], layout: list[tuple[str, ...]], shares_network: bool, doors: int) -> list:
    """Enter the cell's control groups, namespaces and root. Returns the listening sockets: the Runtime API's, then
    those of its doors.
    """
    quiet_streams()
    join_groups(groups)
    os.umask(0o022)
    network = 0 if shares_network else CLONE_NEWNET
    check(libc.unshare(CLONE_NEWNS | network | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP), "unshare")
    listeners = [listen(shares_network), *listen_at_doors(doors)]
    mount("tmpfs", "/cell", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=256k")
    for kind, path, *rest in layout:
        target = "/cell" + path
        if kind == "link":
            os.symlink(rest[0], target)
        elif kind == "bind":
            make_mount_point(target, os.path.isdir(rest[0]))
            bind(rest[0], target)
        else:
            os.makedirs(target, 0o755, exist_ok=True)
    mount_proc("/cell/proc", "/empty")
    enter_root("/cell")
    return listeners


def quiet_streams() -> None:
    """Nothing to read, and nowhere to write to."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        if fd == null:
            os.set_inheritable(fd, True)
        else:
            os.dup2(null, fd)
    if null > 2:
        os.close(null)


def join_groups(groups: list[int]) -> None:
    """Enter control groups by their open files."""
    for fd in groups:
        os.write(fd, b"0")
        os.close(fd)


def listen(shares_network: bool) -> _socket.socket:
    """Listen where the Runtime API is expected, on a loopback interface that is switched on for it.

    On the host's own network the port is any that is free.
    """
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    if shares_network:
        listener.bind((RUNTIME_API[0], 0))
        listener.listen(BACKLOG)
        return listener
    request = b"lo".ljust(16, b"\0") + IFF_UP.to_bytes(2, sys.byteorder) + bytes(22)
    check(libc.ioctl(listener.fileno(), SIOCSIFFLAGS, request), "lo up")
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind(RUNTIME_API)
    listener.listen(BACKLOG)
    return listener


def listen_at_doors(count: int) -> list:
    """Listen where the sandbox's doors are (`lambdad.sandbox.doors`), in a network of its own."""
    listeners = [_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM) for _ in range(count)]
    for number, listener in enumerate(listeners):
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind((RUNTIME_API[0], FIRST_DOOR + number))
        listener.listen(BACKLOG)
    return listeners


def mount_proc(proc: str, empty: str) -> None:
    """The cell's own processes, each seen by its own user only, and nothing that tells of the host or changes it.

    empty: an empty directory, which is shown in place of others.
    """
    mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2")
    for name in PROC_HIDDEN:
        path = f"{proc}/{name}"
        if os.path.isdir(path):
            bind(empty, path)
        elif os.path.exists(path):
            bind("/dev/null", path)
    for name in PROC_READ_ONLY:
        path = f"{proc}/{name}"
        if os.path.exists(path):
            bind(path, path)
            restrict(path, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC)


def attend(control: _socket.socket, channel: _socket.socket, runtime: int, config: dict) -> None:
    """Be process 1: reap, report the end of the runtime process, start further programs, end with the driver."""
    programs: dict[int, int] = {}
    is_behind_walls = False
    children = SignalSet(1 << (_signal.SIGCHLD - 1))
    signals = check(libc.signalfd(-1, children, os.O_CLOEXEC), "signalfd")
    poll = select.poll()
    for fd in (signals, control.fileno(), channel.fileno()):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == signals:
                os.read(signals, 128)
                reap(control, runtime, programs)
            elif fd == channel.fileno():
                poll.unregister(fd)
                request, _ = receive(channel)
                if request:
                    maps, forks = marshal.loads(request)
                    if config["maps"] is None:
                        os.setgroups([])  # those of the worker: further programs would have them, too
                    map_users(channel, runtime, maps, control if forks else None)
                    set_filter(config["filter"])
                    is_behind_walls = True
            else:
                data, fds = receive(control)
                if not data:
                    return
                obey(control, data, fds, programs if is_behind_walls else None)


def obey(control: _socket.socket, data: bytes, fds: list[int], programs: dict[int, int] | None) -> None:
    """Do what the driver says. programs: by process, their numbers; None while this process has rights to give away."""
    word, _, rest = data.partition(b" ")
    if word == b"spawn" and programs is not None:
        number, _, orders = rest.partition(b" ")
        child = check(libc.fork(), "fork")
        if child == 0:
            run_program(fds[0], fds[1], marshal.loads(orders))
        programs[child] = int(number)
    elif word == b"socket" and programs is not None:
        made = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        send(control, b"socket", [made.fileno()])
        made.close()
    elif word in (b"stop", b"continue"):
        # What stands in for a freezer: everything in here but this process, at once, if there is anything.
        libc.kill(-1, _signal.SIGSTOP if word == b"stop" else _signal.SIGCONT)
    for fd in fds:
        os.close(fd)


def reap(control: _socket.socket, runtime: int, programs: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        code, number = (-1, status & 0x7F) if status & 0x7F else (status >> 8, 0)
        if pid == runtime:
            control.send(b"exited %d %d" % (code, number))
        elif pid in programs:
            control.send(b"program %d %d %d" % (programs.pop(pid), code, number))


def map_users(channel: _socket.socket, runtime: int, maps: tuple[str, str], control: _socket.socket | None) -> None:
    """Give the runtime process's new user namespace its ids, then live in it with no rights outside.

    control: where the namespace is shown to the driver, if the runtime process will be forked from.
    """
    space = os.open(f"/proc/{runtime}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    write_file(f"/proc/{runtime}/setgroups", "deny")
    write_file(f"/proc/{runtime}/uid_map", maps[0])
    write_file(f"/proc/{runtime}/gid_map", maps[1])
    if control is not None:
        send(control, b"users", [space])
    channel.send(b"mapped")
    channel.close()
    check(libc.setns(space, CLONE_NEWUSER), "setns user")
    os.close(space)
    owner = int(maps[0].split()[0])
    os.setresgid(*[int(maps[1].split()[0])] * 3)
    os.setresuid(owner, owner, owner)
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
    set_capabilities(1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID)
