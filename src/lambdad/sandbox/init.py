"""The launcher, and the first processes of every sandbox: a program of its own, run as `python -I -S init.py FD NAME`.

One launcher runs under each runtime's interpreter (CPython 3.9 or later; then it is a zygote, with the runtime's own
modules loaded) and one under lambdad's own, for programs that are executed. On request it forks a *cell*, ahead of any
function: new namespaces, a root file system, process 1 (the *init*) and its child (the *runtime process*), which waits
for its orders. What is left to do for a cold start is to attach the function's mounts and to give up every right.

The rule: whatever runs here runs once for every sandbox, so it imports nothing but C modules and `os`, touches little
memory (a fork shares what it does not touch), and has no way back: a step that fails ends the cell.

Conversation, each message one packet: driver to launcher, `cell` with the descriptors [control, launch, groups...].
On `control` answer the launcher (`forked` + pidfd of init), then init (`ready` + listener + pidfd of the runtime
process, later `exited CODE SIGNAL`). On `launch` the driver sends the orders (marshal) with [output, mounts...]; the
runtime process answers `going`, then closes by becoming the function's program, or answers `error KIND TEXT`.
"""

# `typing` is not worth its memory here.
# mypy: allow-any-generics, allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import ctypes
import gc
import marshal
import os
import select
import sys

MESSAGE_MAX = 192 * 1024
DESCRIPTORS_MAX = 64
RUNTIME_API = ("127.0.0.1", 9001)
BACKLOG = 128

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 4, 22, 24, 36
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 38, 47
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
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


# The kernel


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


# The launcher


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
    check(libc.unshare(CLONE_NEWUSER), "unshare")
    write_file("/proc/self/setgroups", "deny")
    write_file("/proc/self/uid_map", maps[0])
    write_file("/proc/self/gid_map", maps[1])


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


def make_mount_point(path: str, is_directory: bool) -> None:
    """Make `path` and what is above it, unless it is there."""
    if os.path.exists(path):
        return
    if is_directory:
        os.makedirs(path, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def launch_cells(driver: _socket.socket, own_pids: int | None, config: dict):
    """Fork a cell for each request. Returns in the cells only, what they are to do next."""
    while True:
        data, fds = receive(driver)
        if not data:
            os._exit(0)
        control = _socket.socket(fileno=fds[0])
        if fork_cell(control, own_pids):
            driver.detach()
            keep_only(fds)
            return lambda: run_init(control, fds[1], fds[2:], config)
        control.close()
        for fd in fds[1:]:
            os.close(fd)


def report(control: _socket.socket, error: BaseException) -> None:
    """Tell the driver, unless it is not interested in this cell any more."""
    try:
        control.send(b"error " + describe(error))
    except OSError:
        pass


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


# Process 1 of a cell


def run_init(control: _socket.socket, launch_fd: int, groups: list[int], config: dict):
    """Make the cell. Returns in the runtime process only, what it is to do next."""
    try:
        listener = make_cell(groups, config["layout"])
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        runtime = os.fork()
        if runtime == 0:
            control.detach()
            listener.detach()
            ours.detach()
            keep_only([0, 1, 2, launch_fd, theirs.fileno()])
            return lambda: run_runtime(_socket.socket(fileno=launch_fd), theirs, config)
        # Without a handler process 1 cannot be signalled from below.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        theirs.close()
        os.close(launch_fd)
        pidfd = os.pidfd_open(runtime)
        send(control, b"ready", [listener.fileno(), pidfd])
        os.close(pidfd)
        listener.close()
        attend(control, ours, runtime, config["filter"])
    except BaseException as error:
        report(control, error)
    os._exit(1)


def make_cell(groups: list[int], layout: list[tuple[str, ...]]) -> _socket.socket:
    """Enter the cell's control groups, namespaces and root. Returns the listening socket for the Runtime API."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        if fd == null:
            os.set_inheritable(fd, True)
        else:
            os.dup2(null, fd)
    if null > 2:
        os.close(null)
    for fd in groups:
        os.write(fd, b"0")
        os.close(fd)
    os.umask(0o022)
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP), "unshare")
    listener = listen()
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
    mount_proc("/cell/proc")
    enter_root("/cell")
    return listener


def listen() -> _socket.socket:
    """Bring the loopback interface up, the only one there is, and listen where the Runtime API is expected."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    request = b"lo".ljust(16, b"\0") + IFF_UP.to_bytes(2, sys.byteorder) + bytes(22)
    check(libc.ioctl(listener.fileno(), SIOCSIFFLAGS, request), "lo up")
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind(RUNTIME_API)
    listener.listen(BACKLOG)
    return listener


def mount_proc(proc: str) -> None:
    """The cell's own processes, each seen by its own user only, and nothing that tells of the host or changes it."""
    mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2")
    for name in PROC_HIDDEN:
        path = f"{proc}/{name}"
        if os.path.isdir(path):
            bind("/empty", path)
        elif os.path.exists(path):
            bind("/dev/null", path)
    for name in PROC_READ_ONLY:
        path = f"{proc}/{name}"
        if os.path.exists(path):
            bind(path, path)
            restrict(path, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC)


def attend(control: _socket.socket, channel: _socket.socket, runtime: int, program: bytes) -> None:
    """Be process 1: reap, report the end of the runtime process, end with the driver."""
    children = SignalSet(1 << (_signal.SIGCHLD - 1))
    signals = check(libc.signalfd(-1, children, os.O_CLOEXEC), "signalfd")
    poll = select.poll()
    for fd in (signals, control.fileno(), channel.fileno()):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == signals:
                os.read(signals, 128)
                reap(control, runtime)
            elif fd == channel.fileno():
                poll.unregister(fd)
                maps, _ = receive(channel)
                if maps:
                    map_users(channel, runtime, marshal.loads(maps), program)
            else:
                word = control.recv(16)
                if not word:
                    return
                # What stands in for a freezer: everything in here but this process, at once, if there is anything.
                libc.kill(-1, _signal.SIGSTOP if word == b"stop" else _signal.SIGCONT)


def reap(control: _socket.socket, runtime: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == runtime:
            code, number = (-1, status & 0x7F) if status & 0x7F else (status >> 8, 0)
            control.send(b"exited %d %d" % (code, number))


def map_users(channel: _socket.socket, runtime: int, maps: tuple[str, str], program: bytes) -> None:
    """Give the runtime process's new user namespace its ids, then live in it with no rights outside."""
    space = os.open(f"/proc/{runtime}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    write_file(f"/proc/{runtime}/setgroups", "deny")
    write_file(f"/proc/{runtime}/uid_map", maps[0])
    write_file(f"/proc/{runtime}/gid_map", maps[1])
    channel.send(b"mapped")
    channel.close()
    check(libc.setns(space, CLONE_NEWUSER), "setns user")
    os.close(space)
    owner = int(maps[0].split()[0])
    os.setresgid(*[int(maps[1].split()[0])] * 3)
    os.setresuid(owner, owner, owner)
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
    set_capabilities(1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID)
    set_filter(program)


# The runtime process


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
        set_filter(config["filter"])
        channel.close()
        if orders["argv"]:
            execute(launch, orders["argv"], orders["environment"])
        os.environ.clear()
        os.environ.update(orders["environment"])
        launch.send(b"going")
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
    channel.send(marshal.dumps(orders["maps"], 2))
    if not channel.recv(16):
        raise OSError("the cell's init is gone")
    # Set any earlier it would bind the user outside, whose processes are those of all sandboxes.
    set_limit(RLIMIT_NPROC, orders["pids"])
    user, group = orders["ids"]
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    set_capabilities(0)
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


def main() -> None:
    driver = _socket.socket(fileno=int(sys.argv[1]))
    data, _ = receive(driver)
    config = marshal.loads(data)
    sys.dont_write_bytecode = True
    gc.disable()
    try:
        config["entry"] = load_entry(config["entry"], config["path"]) if config["entry"] else None
        if config["maps"]:
            enter_own_user_namespace(config["maps"])
        own_pids = None if config["maps"] else os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        stage(config["stage"], config["kit"], not config["maps"])
        _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")
    except BaseException as error:
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
