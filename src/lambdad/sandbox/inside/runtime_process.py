"""The runtime process of a cell: it waits for its orders, goes behind the walls, and becomes the function's program."""

# `typing` is not worth its memory here.
# mypy: allow-any-generics, allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import gc
import marshal
import os
import sys

from lambdad.sandbox.inside.calls import (
    ATTR_NODEV,
    ATTR_NOSUID,
    ATTR_RDONLY,
    CAP_SYS_ADMIN,
    CAP_SYS_CHROOT,
    CLONE_NEWUSER,
    OOM_SCORE,
    PR_SET_DUMPABLE,
    RLIMIT_CORE,
    RLIMIT_DATA,
    RLIMIT_NOFILE,
    RLIMIT_NPROC,
    SYS_KEYCTL,
    Refused,
    attach,
    check,
    describe,
    detach,
    enter_root,
    libc,
    make_mount_point,
    receive,
    restrict,
    set_capabilities,
    set_filter,
    set_limit,
    write_file,
)

SNAPSHOT_VARIABLE = "_LAMBDAD_SNAPSHOT"
FORKING_CAPABILITIES = 1 << CAP_SYS_ADMIN | 1 << CAP_SYS_CHROOT
"""Of a snapshot process, in a user namespace that owns nothing but berths: what `setns` into them asks for."""


def run_runtime(launch: _socket.socket, channel: _socket.socket, config: dict):
    """Wait for orders, go behind the walls, become the function's program. Returns a zygote's `run`."""
    data, fds = receive(launch)
    if not data:
        os._exit(0)
    try:
        orders = marshal.loads(data)
        arrange(orders, fds)
        give_up_rights(channel, orders)
        try:
            os.chdir(orders["directory"])
        except OSError as error:
            raise Refused("Runtime.InvalidWorkingDir", f"chdir {orders['directory']}: {reason(error)}") from None
        set_filter(config["snapshot_filter" if orders["forks"] else "filter"])
        channel.close()
        if orders["held"]:
            launch.send(b"held")
            if not launch.recv(16):
                os._exit(0)
        environment = orders["environment"]
        if orders["forks"]:
            # The way to ask for forks stays open; the runtime's client finds it by this variable, and hides it.
            environment = {**environment, SNAPSHOT_VARIABLE: str(launch.fileno())}
        if orders["argv"]:
            os.set_inheritable(launch.fileno(), orders["forks"])
            execute(launch, orders["argv"], environment)
        os.environ.clear()
        os.environ.update(environment)
        launch.send(b"going")
        if orders["forks"]:
            launch.detach()
        else:
            launch.close()
    except Refused as error:
        launch.send(f"error {error.kind} {error}".encode(errors="replace"))
        os._exit(1)
    except BaseException as error:
        launch.send(b"error - " + describe(error))
        os._exit(1)
    sys.dont_write_bytecode = False
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)  # the launcher may have been started without one
    gc.enable()
    return config["entry"].run


def arrange(orders: dict, fds: list[int]) -> None:
    """The function's mounts, name, limits and output."""
    output, *mounts = fds
    if orders["has_root"]:
        change_root(mounts.pop(0))
    for target, is_directory in orders["targets"]:
        if not orders["has_root"]:
            make_mount_point(target, is_directory)
        attach(mounts.pop(0), target)
    restrict("/", ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV, 0)
    name = orders["hostname"].encode()
    check(libc.sethostname(name, len(name)), "sethostname")
    set_limit(RLIMIT_CORE, 0)
    set_limit(RLIMIT_NOFILE, orders["files"])
    if orders["data"]:
        set_limit(RLIMIT_DATA, orders["data"])
    write_file("/proc/self/oom_score_adj", OOM_SCORE)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.setsid()
    libc.syscall(SYS_KEYCTL, 1, None)  # a session keyring of its own, where the kernel has keyrings
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])


def change_root(root: int) -> None:
    """Another root than the host's files: /proc and /dev stay ours, whatever it brings."""
    kept = [("/proc", detach("/proc")), ("/dev", detach("/dev"))]
    os.mkdir("/.root", 0o755)
    attach(root, "/.root")
    enter_root("/.root")
    for target, mount_fd in kept:
        attach(mount_fd, target)


def give_up_rights(channel: _socket.socket, orders: dict) -> None:
    """Become an ordinary user of a user namespace that owns nothing: not these mounts, not this network."""
    if orders["may_set_groups"]:
        os.setgroups([])
    check(libc.unshare(CLONE_NEWUSER), "unshare")
    channel.send(marshal.dumps((orders["maps"], orders["forks"]), 2))
    if not channel.recv(16):
        raise OSError("the cell's init is gone")
    # Set any earlier it would bind the user outside, whose processes are those of all sandboxes.
    # The forks of a snapshot count as one user's: there the control groups, one for each, are the limit.
    if not orders["forks"]:
        set_limit(RLIMIT_NPROC, orders["pids"])
    user, group = orders["ids"]
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    set_capabilities(FORKING_CAPABILITIES if orders["forks"] else 0)
    # A change of user makes the process unreadable for itself in /proc; there is nothing here to hide from it.
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")


def execute(launch: _socket.socket, argv: list[str], environment: dict[str, str]) -> None:
    for number in range(1, 65):
        if number not in (_signal.SIGKILL, _signal.SIGSTOP, 32, 33):
            _signal.signal(number, _signal.SIG_DFL)
    program = find_program(argv[0], environment.get("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"))
    launch.send(b"going")
    try:
        os.execve(program, argv, environment)
    except (OSError, ValueError) as error:
        raise Refused("Runtime.InvalidEntrypoint", f"fork/exec {argv[0]}: {reason(error)}") from None


def find_program(name: str, path: str) -> str:
    if "/" not in name:
        for directory in path.split(":"):
            found = f"{directory or '.'}/{name}"
            if os.access(found, os.X_OK) and not os.path.isdir(found):
                return found
        raise Refused("Runtime.InvalidEntrypoint", f'exec: "{name}": executable file not found in $PATH')
    return name


def reason(error: Exception) -> str:
    """In lower case, as AWS's (Go's) messages have it."""
    return (getattr(error, "strerror", None) or str(error)).lower()
