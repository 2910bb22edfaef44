"""A *berth*: the namespaces that one fork of a snapshot process moves into, made ahead of it by whom it cannot fool.

A snapshot process has run a function's own code, so nothing that it says or holds may be trusted. What it is allowed
is to enter namespaces that somebody else has made. They must belong to the user namespace of its cell, in which it has
CAP_SYS_ADMIN and nothing else; their mounts are made by real root, because only that may mount a new /proc. So a
berth takes three short-lived helpers, of which one stays:

    maker     real root, in the cell's process namespace, so that the berth's can be below it
    init      process 1 of the berth; forked below a helper that has entered the cell's user namespace
    builder   real root, in the berth's process namespace: copies the cell's mounts, with another /proc and no /tmp,
              then enters the user namespace, too, and makes copies that belong to it

Conversation: driver to launcher, `berth` with [control, init of the cell, its user namespace, groups...]. On `control`
answer a helper (`forked` + pidfd of init), then init: `ready` + [listeners..., namespaces...]; to `tmp` + a mount it
says nothing; to `find PID`, `runtime` + pidfd; `exited CODE SIGNAL` when that process has ended.
"""

# `typing` is not worth its memory here.
# mypy: allow-any-generics, allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import select

from lambdad.sandbox.inside.calls import (
    CAP_KILL,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MNT_DETACH,
    PR_SET_DUMPABLE,
    SignalSet,
    attach,
    check,
    keep_only,
    libc,
    receive,
    report,
    send,
    set_capabilities,
    set_filter,
)
from lambdad.sandbox.inside.init import join_groups, listen, listen_at_doors, mount_proc, quiet_streams, reap

NAMESPACES = (("mnt", CLONE_NEWNS), ("net", CLONE_NEWNET), ("ipc", CLONE_NEWIPC), ("uts", CLONE_NEWUTS))
EMPTY_DIRECTORY = "/sys"
"""Of the root that the cell has: hides what /proc must not show."""


def run_maker(control: _socket.socket, cell: int, users: int, groups: list[int], config: dict) -> None:
    """Make a berth; ends the process. It is in the cell's process namespace; its own children are reaped for it."""
    try:
        quiet_streams()
        join_groups(groups)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        if check(libc.fork(), "fork") == 0:
            ours.detach()
            fork_init(control, theirs, users, config)
        theirs.close()
        _, (init,) = receive(ours)
        check(libc.setns(init, CLONE_NEWPID), "setns pid")
        if check(libc.fork(), "fork") == 0:
            build(ours, cell, users, config["doors"])
            os._exit(0)
        try:
            os.wait()  # their signal is ignored: this returns, with an error, when none is left
        except ChildProcessError:
            pass
    except BaseException as error:
        report(control, error)
    os._exit(0)


def fork_init(control: _socket.socket, builder: _socket.socket, users: int, config: dict) -> None:
    """Fork process 1 of a process namespace that belongs to the cell's user namespace; ends the process."""
    try:
        check(libc.setns(users, CLONE_NEWUSER), "setns user")
        check(libc.unshare(CLONE_NEWPID), "unshare pid")
        pid = check(libc.fork(), "fork")
        if pid == 0:
            keep_only([0, 1, 2, control.fileno(), builder.fileno()])
            run_init(control, builder, config["filter"])
        pidfd = os.pidfd_open(pid)
        send(control, b"forked", [pidfd])
        send(builder, b"forked", [pidfd])
    except BaseException as error:
        report(control, error)
    os._exit(0)


def build(reply: _socket.socket, cell: int, users: int, doors: int) -> None:
    """Make the mounts as root, then copies of all namespaces that belong to `users`, and hand them over."""
    check(libc.setns(cell, CLONE_NEWNS | CLONE_NEWUTS), "setns cell")
    check(libc.unshare(CLONE_NEWNS), "unshare mounts")
    for path in (b"/tmp", b"/proc"):
        check(libc.umount2(path, MNT_DETACH), "umount")
    mount_proc("/proc", EMPTY_DIRECTORY)
    check(libc.setns(users, CLONE_NEWUSER), "setns user")
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS), "unshare")
    listeners = [listen(False), *listen_at_doors(doors)]
    spaces = [os.open("/proc/self/ns/" + name, os.O_RDONLY | os.O_CLOEXEC) for name, _ in NAMESPACES]
    send(reply, b"built", [*spaces, *[listener.fileno() for listener in listeners]])


def run_init(control: _socket.socket, builder: _socket.socket, program: bytes) -> None:
    """Be process 1 of the berth: enter what was built, attach /tmp, find, reap, report; end with the driver."""
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
        _, fds = receive(builder)
        builder.close()
        if not fds:
            os._exit(1)  # the builder has said why
        spaces, listeners = fds[: len(NAMESPACES)], fds[len(NAMESPACES) :]
        for space, (name, kind) in zip(spaces, NAMESPACES):  # noqa: B905 (a runtime's interpreter may be 3.9)
            check(libc.setns(space, kind), "setns " + name)
        pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        send(control, b"ready", [*listeners, pids, *spaces])
        for fd in (*listeners, pids, *spaces):
            os.close(fd)
        word, fds = receive(control)
        if not word:
            os._exit(0)
        attach(fds[0], "/tmp")
        set_capabilities(1 << CAP_KILL)
        set_filter(program)
        attend(control)
    except BaseException as error:
        report(control, error)
    os._exit(1)


def attend(control: _socket.socket) -> None:
    """Find the runtime process, reap, report its end; return when the driver is gone."""
    signals = check(libc.signalfd(-1, SignalSet(1 << (_signal.SIGCHLD - 1)), os.O_CLOEXEC), "signalfd")
    poll = select.poll()
    for fd in (signals, control.fileno()):
        poll.register(fd, select.POLLIN)
    runtime = -1
    while True:
        for fd, _ in poll.poll():
            if fd == signals:
                os.read(signals, 128)
                if runtime > 0:
                    reap(control, runtime, {})
                continue
            word, _, number = control.recv(64).partition(b" ")
            if word != b"find":
                return
            # Whatever number the fork has said: it names a process of this berth, or none.
            runtime = int(number)
            pidfd = os.pidfd_open(runtime)
            send(control, b"runtime", [pidfd])
            os.close(pidfd)
            reap(control, runtime, {})
