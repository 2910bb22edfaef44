"""The launcher, and the first processes of every sandbox: a program of its own, `python -I -S launcher.py FD NAME`.

One launcher runs under each runtime's interpreter (CPython 3.9 or later; then it is a zygote, with the runtime's own
modules loaded) and one under lambdad's own, for programs that are executed. On request it forks a *cell*, ahead of any
function: new namespaces, a root file system, process 1 (the *init*) and its child (the *runtime process*), which waits
for its orders. What is left to do for a cold start is to attach the function's mounts and to give up every right.

The rule: whatever runs here runs once for every sandbox, so it imports nothing but C modules and `os`, touches little
memory (a fork shares what it does not touch), and has no way back: a step that fails ends the cell.

Conversation, each message one packet: driver to launcher, `cell` with the descriptors [control, launch, groups...]
(or `berth`, see `inside.berth`).
On `control` answer the launcher (`forked` + pidfd of init), then init (`ready` + listener + pidfd of the runtime
process, later `exited CODE SIGNAL`). On `launch` the driver sends the orders (marshal) with [output, mounts...]; the
runtime process answers `going`, then closes by becoming the function's program, or answers `error KIND TEXT`.
"""

# `typing` is not worth its memory here.
# mypy: allow-any-generics, allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import gc
import marshal
import os
import sys

if __name__ == "__main__":  # a runtime's interpreter knows nothing of lambdad: it sees these modules once
    sys.dont_write_bytecode = True
    sys.path.insert(0, __file__.rsplit("/", 4)[0])

from lambdad.sandbox.inside.berth import run_maker
from lambdad.sandbox.inside.calls import (
    ATTR_NODEV,
    ATTR_NOEXEC,
    ATTR_NOSUID,
    ATTR_RDONLY,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    DEVICE_LINKS,
    DEVICES,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    PR_SET_CHILD_SUBREAPER,
    bind,
    check,
    describe,
    enter_root,
    keep_only,
    libc,
    make_mount_point,
    mount,
    receive,
    report,
    restrict,
    send,
    write_file,
)
from lambdad.sandbox.inside.init import (
    run_init,
)


def load_entry(path: str, search: list[str]) -> object:
    """The runtime's own module, with its `preload` done."""
    sys.path[:0] = search
    entry = type(sys)("lambdad_entry")
    entry.__file__ = path
    sys.modules[entry.__name__] = entry
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    exec(code, entry.__dict__)
    entry.preload()
    return entry


def enter_own_user_namespace(maps: tuple[str, str]) -> None:
    """Without root: everything below happens in a user namespace where this user's own id is the only one."""
    check(libc.unshare(CLONE_NEWUSER), "unshare user")
    write_file("/proc/self/setgroups", "deny")
    write_file("/proc/self/uid_map", maps[0])
    write_file("/proc/self/gid_map", maps[1])


def prove_user_namespaces() -> None:
    """Raise OSError if root cannot make one: every function needs it, and the first would have to find that out."""
    child = os.fork()
    if child == 0:
        try:
            check(libc.unshare(CLONE_NEWUSER), "unshare user")
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    code = os.waitpid(child, 0)[1] >> 8
    if code:
        raise OSError(code, "unshare user: " + os.strerror(code))


def stage(where: str, kit: list[tuple[str, bool]], has_root: bool) -> None:
    """Leave the host's files but for the kit: what the roots of all cells are made of."""
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount("", "/", "", MS_REC | MS_PRIVATE)
    mount("tmpfs", where, "tmpfs", MS_NOSUID, "mode=755,size=1m")
    for name in ("kit", "dev", "empty", "cell"):
        os.mkdir(f"{where}/{name}", 0o755)
    for index, (source, is_directory) in enumerate(kit):
        target = f"{where}/kit/{index}"
        make_mount_point(target, is_directory)
        bind(source, target)
        restrict(target, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV)
    make_devices(f"{where}/dev", has_root)
    if not has_root:
        # A user namespace may mount /proc only where one is seen already; the cells leave this one behind.
        os.mkdir(f"{where}/proc", 0o755)
        bind("/proc", f"{where}/proc")
    restrict(where, ATTR_RDONLY, 0)
    enter_root(where)


def make_devices(dev: str, has_root: bool) -> None:
    mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
    for name, minor in DEVICES:
        if has_root:
            os.mknod(f"{dev}/{name}", 0o020666, os.makedev(1, minor))
            os.chmod(f"{dev}/{name}", 0o666)
        else:
            make_mount_point(f"{dev}/{name}", False)
            bind(f"/dev/{name}", f"{dev}/{name}")
    for name, target in DEVICE_LINKS:
        os.symlink(target, f"{dev}/{name}")
    restrict(dev, ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC)


def launch_cells(driver: _socket.socket, own_pids: int | None, config: dict):
    """Fork a cell for each request. Returns in the cells only, what they are to do next."""
    while True:
        data, fds = receive(driver)
        if not data:
            os._exit(0)
        control = _socket.socket(fileno=fds[0])
        if data == b"berth":
            if fork_maker(control, fds[1]):
                driver.detach()
                keep_only(fds)
                return lambda: run_maker(control, fds[1], fds[2], fds[3:], config)
        elif fork_cell(control, own_pids):
            driver.detach()
            keep_only(fds)
            return lambda: run_init(control, fds[1], fds[2:], config)
        control.close()
        for fd in fds[1:]:
            os.close(fd)


def fork_quietly() -> int:
    """fork without Python's hooks, which write to a third of a MiB: for processes that run nothing of the runtime's.

    What they would do (new seeds, new locks) they do in the runtime process, which is forked by `os.fork`. That is
    sound because there is one thread, in this process and in the fork.
    """
    return check(libc.fork(), "fork")


def fork_cell(control: _socket.socket, own_pids: int | None) -> bool:
    """Fork process 1 of a new pid namespace; True in it."""
    try:
        if own_pids is not None:
            # `unshare` acts on the next children, once; this undoes it for the next time.
            check(libc.setns(own_pids, CLONE_NEWPID), "setns")
        elif fork_quietly():
            return False  # without root there is no way back from `unshare`: a helper goes
        check(libc.unshare(CLONE_NEWPID), "unshare")
        pid = fork_quietly()
        if pid == 0:
            return True
        pidfd = os.pidfd_open(pid)
        send(control, b"forked", [pidfd])
        os.close(pidfd)
    except OSError as error:
        report(control, error)
    if own_pids is None:
        os._exit(0)
    return False


def fork_maker(control: _socket.socket, cell: int) -> bool:
    """Fork the maker of a berth into the process namespace of a cell, which is that of its init; True in it."""
    try:
        check(libc.setns(cell, CLONE_NEWPID), "setns cell")  # until the next fork, which asks for another
        return fork_quietly() == 0
    except OSError as error:
        report(control, error)
    return False


def forget_lambdad() -> None:
    """Leave no trace of these modules where a function's own imports would find it."""
    sys.path_importer_cache.pop(sys.path.pop(0), None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lambdad"]:
        del sys.modules[name]


def main() -> None:
    forget_lambdad()
    driver = _socket.socket(fileno=int(sys.argv[1]))
    data, _ = receive(driver)
    config = marshal.loads(data)
    gc.disable()
    try:
        config["entry"] = load_entry(config["entry"], config["path"]) if config["entry"] else None
        if config["maps"]:
            enter_own_user_namespace(config["maps"])
        else:
            prove_user_namespaces()
        own_pids = None if config["maps"] else os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        stage(config["stage"], config["kit"], not config["maps"])
        _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")
    except BaseException as error:
        if not isinstance(error, OSError):  # which says it all
            sys.excepthook(type(error), error, error.__traceback__)
        driver.send(b"error " + describe(error))
        os._exit(1)
    gc.collect()
    gc.freeze()
    driver.send(b"ready")
    step = launch_cells(driver, own_pids, config)
    while step is not None:
        step = step()


if __name__ == "__main__":
    main()
