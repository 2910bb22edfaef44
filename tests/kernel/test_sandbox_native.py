"""Hostile functions against the native driver: what each tries must fail, and the host must not notice.

The scripts are those of somebody who owns a function and wants more than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.sandbox.identity import UID_BASE
from lambdad.sandbox.interface import ExitStatus, Sandbox
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.spec import Bind, Exec
from lambdad.testing.conformance.sandbox import MEBIBYTE, Lab, Output, Result, finish, run, run_script, shell, started
from lambdad.testing.probes import (
    can_make_namespaces,
    can_mount_loop,
    can_mount_overlay,
    has_cgroup,
    is_root,
    skip_unless,
)

pytestmark = [
    pytest.mark.kernel,
    skip_unless(
        is_root(),
        can_make_namespaces(),
        can_mount_loop(),
        can_mount_overlay(),
        has_cgroup("memory"),
        has_cgroup("pids"),
    ),
]

PRELUDE = """
import ctypes, errno, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def syscall(*arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*arguments)
    return "worked" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "worked"
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def lab(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    workspace = tmp_path_factory.mktemp("hostile")
    driver = NativeDriver(workspace / "state", zygotes=[])
    runner.run(driver.open())
    yield Lab(driver, workspace)
    runner.run(driver.close())


async def run_python(lab: Lab, code: str, **changes: Any) -> Any:
    """Run a program of the host's Python inside; returns the JSON that it prints."""
    result = await finish_python(lab, code, **changes)
    assert result.status == ExitStatus(0, None), result.text
    return json.loads(result.text)


async def finish_python(lab: Lab, code: str, **changes: Any) -> Result:
    prefix = sys.base_prefix
    (lab.task / "main.py").write_text(PRELUDE + textwrap.dedent(code))
    mounts = (Bind(str(lab.task), "/var/task"), Bind(prefix, prefix))
    interpreter = os.path.realpath(sys.executable)
    return await run(lab, Exec((interpreter, "-I", "-S", "/var/task/main.py")), mounts=mounts, **changes)


# Files of the host


def test_files_of_the_host_are_not_there(lab: Lab, runner: asyncio.Runner) -> None:
    secret = lab.workspace / "secret"
    secret.write_text("of the host")
    secret.chmod(0o644)
    places = ["/etc/shadow", "/etc/ssh", "/home", "/boot", "/run", "/var/lib", "/var/log", "/sys/kernel", str(secret)]
    code = f"print(json.dumps([path for path in {places!r} if os.path.lexists(path)]))"
    assert runner.run(run_python(lab, code)) == []


def test_devices_of_the_host_are_not_there_and_cannot_be_made(lab: Lab, runner: asyncio.Runner) -> None:
    code = """
    names = sorted(os.listdir("/dev"))
    made = [attempt(os.mknod, "/tmp/disk", 0o060666, os.makedev(8, 0)), attempt(os.mknod, "/tmp/mem", 0o020666, 0x101)]
    print(json.dumps([names, made]))
    """
    names, made = runner.run(run_python(lab, code))
    assert names == ["fd", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero"]
    assert made == ["EPERM", "EPERM"]


def test_a_device_node_in_the_functions_own_files_does_not_open(lab: Lab, runner: asyncio.Runner) -> None:
    shown = lab.new_directory()
    os.mknod(shown / "zero", 0o020666, os.makedev(1, 5))
    (shown / "zero").chmod(0o666)
    result = runner.run(run_script(lab, "head -c 1 /opt/zero", mounts=(*_task(lab), Bind(str(shown), "/opt"))))
    assert "Permission denied" in result.text


def test_a_setuid_program_gives_nothing(lab: Lab, runner: asyncio.Runner) -> None:
    shown = lab.new_directory()
    program = shown / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    os.chown(program, 0, 0)
    program.chmod(0o6755)
    script = (
        "/opt/id; cp /opt/id /tmp/id && chmod 6777 /tmp/id && /tmp/id; grep -E '^Uid|^Gid|^CapEff' /proc/self/status"
    )
    result = runner.run(run_script(lab, script, mounts=(*_task(lab), Bind(str(shown), "/opt"))))
    one = "uid=993(sbx_user1051) gid=990(sbx_user1051) groups=990(sbx_user1051)\n"
    assert result.text == (f"{one}{one}Uid:\t993\t993\t993\t993\nGid:\t990\t990\t990\t990\nCapEff:\t0000000000000000\n")


def test_links_in_the_functions_files_lead_nowhere_on_the_host(lab: Lab, runner: asyncio.Runner) -> None:
    """Mount targets below a link of the function's are resolved inside of its own root."""
    shown, inner = lab.new_directory(), lab.new_directory()
    (shown / "link").symlink_to("/etc")
    (inner / "passwd").write_text("of the function\n")
    mounts = (*_task(lab), Bind(str(shown), "/opt"), Bind(str(inner), "/opt/link"))
    result = runner.run(run_script(lab, "cat /etc/passwd", mounts=mounts))
    assert result.text == "of the function\n"
    assert "of the function" not in Path("/etc/passwd").read_text()


# Processes of the host and of others


def test_only_its_own_processes_are_seen(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> Any:
        async with started(lab, shell("exec sleep 1000")):
            code = """
            pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
            killed = [attempt(os.kill, pid, 0) for pid in (1, 2, 3, 100, 1000)]
            print(json.dumps([pids == [os.getpid()], os.getpid() < 100, os.path.exists("/proc/1/environ"), killed]))
            """
            return await run_python(lab, code)

    is_alone, is_low, sees_init, killed = runner.run(scenario())
    assert (is_alone, is_low, sees_init) == (True, True, False)
    assert killed[0] == "EPERM"
    assert set(killed[2:]) == {"ESRCH"}


def test_process_one_cannot_be_killed_from_inside(lab: Lab, runner: asyncio.Runner) -> None:
    script = "kill -9 1; kill -INT 1; kill -CHLD 1; echo still here"
    assert runner.run(run_script(lab, script)).text.endswith("still here\n")


def test_every_sandbox_is_another_user_of_the_host(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> list[set[int]]:
        async with started(lab, shell("exec sleep 1000")) as one, started(lab, shell("exec sleep 1000")) as two:
            return [await _host_users(sandbox) for sandbox in (one, two)]

    first, second = runner.run(scenario())
    assert first.isdisjoint(second)
    assert min(first | second) >= UID_BASE


def test_descriptors_of_the_worker_are_not_inherited(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> Any:
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                kept = stack.enter_context(open("/etc/passwd"))
                os.set_inheritable(kept.fileno(), True)
            return await run_python(lab, "print(json.dumps(sorted(map(int, os.listdir('/proc/self/fd')))))")

    # The fourth is the listing itself.
    assert runner.run(scenario()) == [0, 1, 2, 3]


def test_other_sandboxes_are_not_reached_by_ipc_or_abstract_sockets(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> Any:
        serve = """
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\\0meeting")
        listener.listen()
        libc.shmget(4711, 4096, 0o1666)
        print("ready", flush=True)
        listener.accept()
        """
        (lab.task / "serve.py").write_text(PRELUDE + textwrap.dedent(serve))
        prefix = sys.base_prefix
        mounts = (*_task(lab), Bind(prefix, prefix))
        start = Exec((os.path.realpath(sys.executable), "-I", "-S", "/var/task/serve.py"))
        async with started(lab, start, mounts=mounts) as other:
            output = Output(other)
            await output.wait_for(lambda data: b"ready" in data)
            output.close()
            code = """
            client = socket.socket(socket.AF_UNIX)
            found = [attempt(client.connect, "\\0meeting"), libc.shmget(4711, 4096, 0o666)]
            print(json.dumps(found))
            """
            return await run_python(lab, code)

    assert runner.run(scenario()) == ["ECONNREFUSED", -1]


# The kernel


def test_dangerous_system_calls_are_refused(lab: Lab, runner: asyncio.Runner) -> None:
    names = ("mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "ptrace", "bpf", "perf_event_open")
    names += ("init_module", "finit_module", "kexec_load", "reboot", "swapon", "add_key", "keyctl", "userfaultfd")
    names += ("io_uring_setup", "open_by_handle_at", "process_vm_readv", "open_tree", "fsopen", "move_mount")
    code = f"""
    sys.path.insert(0, "/var/task")
    from syscall_numbers import AARCH64_TABLE, X86_64_TABLE, parse_table
    numbers = parse_table(AARCH64_TABLE if os.uname().machine == "aarch64" else X86_64_TABLE)
    results = {{name: syscall(numbers[name], 0, 0, 0, 0, 0, 0) for name in {names!r}}}
    results["clone3"] = syscall(numbers["clone3"], 0, 0)
    results["unknown"] = syscall(9999)
    print(json.dumps(results))
    """
    import_from = Path(sys.modules["lambdad.linux.syscall_numbers"].__file__ or "")
    (lab.task / "syscall_numbers.py").write_text(import_from.read_text())
    results = runner.run(run_python(lab, code))
    assert (results.pop("clone3"), results.pop("unknown")) == ("ENOSYS", "ENOSYS")
    assert results == dict.fromkeys(names, "EPERM")


def test_new_namespaces_are_refused_by_every_way(lab: Lab, runner: asyncio.Runner) -> None:
    script = "unshare -U true; unshare -n true; unshare -m true; unshare -Ur true"
    result = runner.run(run_script(lab, script))
    assert result.text.count("Operation not permitted") == 4


def test_sockets_of_other_families_are_refused(lab: Lab, runner: asyncio.Runner) -> None:
    code = """
    def new(*arguments):
        return attempt(lambda: socket.socket(*arguments).close())
    print(json.dumps({
        "packet": new(17, socket.SOCK_RAW), "raw": new(socket.AF_INET, socket.SOCK_RAW, 1), "vsock": new(40, 1),
        "alg": new(38, socket.SOCK_SEQPACKET), "netfilter": new(16, socket.SOCK_RAW, 12),
        "audit": new(16, socket.SOCK_RAW, 9), "route": new(16, socket.SOCK_RAW, 0), "tcp": new(socket.AF_INET6),
        "unix": new(socket.AF_UNIX),
    }))
    """
    refused = dict.fromkeys(("packet", "raw", "vsock", "alg", "netfilter", "audit"), "EPERM")
    assert runner.run(run_python(lab, code)) == refused | dict.fromkeys(("route", "tcp", "unix"), "worked")


def test_the_terminal_trick_is_refused(lab: Lab, runner: asyncio.Runner) -> None:
    code = """
    import fcntl
    print(json.dumps([attempt(fcntl.ioctl, 0, number, b"x") for number in (0x5412, 0x541C)]))
    """
    assert runner.run(run_python(lab, code)) == ["EPERM", "EPERM"]


def test_the_kernels_settings_cannot_be_written(lab: Lab, runner: asyncio.Runner) -> None:
    """Nor can the classic ways out: core_pattern, the release agent of control groups, sysrq."""
    script = """
    for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/self/oom_score_adj; do
      (echo x > $file) 2>/dev/null && echo "wrote $file"
    done
    ls /sys /sys/fs/cgroup 2>&1 | head -3
    mount -t cgroup -o memory cgroup /tmp 2>&1 | grep -o -E 'denied|not permitted|must be superuser'
    """
    text = runner.run(run_script(lab, script)).text
    assert "wrote" not in text
    assert "release_agent" not in text


def test_the_own_control_group_is_shown_as_the_root(lab: Lab, runner: asyncio.Runner) -> None:
    lines = runner.run(run_script(lab, "cat /proc/self/cgroup")).text.splitlines()
    assert not [line for line in lines if "lambdad" in line]


def test_memory_of_the_kernel_and_its_secrets_are_hidden(lab: Lab, runner: asyncio.Runner) -> None:
    script = "head -c 1 /proc/kcore | wc -c; wc -c < /proc/keys; wc -c < /proc/timer_list; dmesg; ls /proc/acpi | wc -l"
    text = runner.run(run_script(lab, f"({script}) 2>/dev/null")).text
    assert set(text.split()) <= {"0"}


# The network


def test_there_is_no_network_but_the_own_loopback(lab: Lab, runner: asyncio.Runner) -> None:
    code = """
    def connect(address):
        client = socket.socket()
        client.settimeout(5)
        return attempt(client.connect, address)
    names = [name for _, name in socket.if_nameindex()]
    addresses = [("169.254.169.254", 80), ("10.0.0.1", 80), ("1.1.1.1", 53), ("127.0.0.1", 22)]
    print(json.dumps([names, [connect(address) for address in addresses]]))
    """
    names, results = runner.run(run_python(lab, code))
    assert set(names) - {
        "tunl0",
        "sit0",
        "gre0",
        "gretap0",
        "erspan0",
        "ip_vti0",
        "ip6_vti0",
        "ip6tnl0",
        "ip6gre0",
    } == {"lo"}
    assert results == ["ENETUNREACH", "ENETUNREACH", "ENETUNREACH", "ECONNREFUSED"]


def test_the_address_of_the_runtime_api_cannot_be_taken(lab: Lab, runner: asyncio.Runner) -> None:
    code = 'print(json.dumps(attempt(socket.socket().bind, ("127.0.0.1", 9001))))'
    assert runner.run(run_python(lab, code)) == "EADDRINUSE"


# Resources


def test_a_fork_bomb_is_bounded_and_can_be_destroyed(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> None:
        bomb = "bomb() { bomb | bomb & }; bomb; echo ready; exec sleep 1000"
        async with started(lab, shell(bomb), pids=200, cpus=0.2) as sandbox:
            output = Output(sandbox)
            await output.wait_for(lambda data: len(data) > 0)
            output.close()
            assert len(await _host_pids(sandbox)) <= 201
            await asyncio.wait_for(sandbox.destroy(), 120)

    runner.run(scenario())


def test_a_memory_hog_is_killed_alone(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> None:
        async with started(lab, shell("echo ready; read line; exec sleep 1000")) as neighbour:
            hog = shell("exec perl -e '$x = \"x\" x (1 << 30)'")
            async with started(lab, hog, memory_bytes=64 * MEBIBYTE) as sandbox:
                assert (await finish(sandbox)).status == ExitStatus(None, 9)
                assert sandbox.usage().oom_kills > 0
                assert sandbox.usage().memory_peak <= 64 * MEBIBYTE
            assert neighbour.usage().oom_kills == 0

    runner.run(scenario())


def test_filling_tmp_costs_no_memory(lab: Lab, runner: asyncio.Runner) -> None:
    """More is written than the function has memory, and nobody is killed."""

    async def scenario() -> None:
        volume = await lab.volume(200)
        script = "dd if=/dev/zero of=/tmp/file bs=1M 2>&1; ls -l /tmp | wc -l"
        sandbox = await lab.launch(shell(script), volume, memory_bytes=48 * MEBIBYTE)
        result = await finish(sandbox)
        assert "No space left on device" in result.text
        assert (result.status, sandbox.usage().oom_kills) == (ExitStatus(0, None), 0)
        await sandbox.destroy()
        await volume.close()

    runner.run(scenario())


def test_ten_thousand_open_files_are_refused(lab: Lab, runner: asyncio.Runner) -> None:
    code = """
    opened = 0
    try:
        while opened < 10_000:
            os.open("/dev/null", os.O_RDONLY)
            opened += 1
    except OSError as error:
        print(json.dumps([opened, errno.errorcode[error.errno]]))
    """
    opened, error = runner.run(run_python(lab, code))
    assert (opened < 1024, error) == (True, "EMFILE")


def test_limits_cannot_be_raised(lab: Lab, runner: asyncio.Runner) -> None:
    script = "ulimit -n 2000 || echo no; ulimit -c unlimited || echo no; ulimit -u 100000 || echo no"
    result = runner.run(run_script(lab, f'bash -c "{script}" 2>/dev/null'))
    assert result.text == "no\nno\nno\n"


def test_a_flood_of_output_that_nobody_reads_hurts_nobody(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> None:
        async with started(lab, shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")) as sandbox:
            assert (await run_script(lab, "echo others go on")).text == "others go on\n"
            sandbox.freeze()
            sandbox.thaw()
            await asyncio.wait_for(sandbox.destroy(), 60)

    runner.run(scenario())


def test_a_hundred_processes_behind_a_tiny_quota_die_at_once(lab: Lab, runner: asyncio.Runner) -> None:
    """Destroying lifts the quota first: throttled processes would take minutes to end."""

    async def scenario() -> None:
        # They spin once all are there: spinning, they would starve the shell that makes them.
        child = "(read nothing < /tmp/go; while :; do :; done) &"
        script = (
            f"mkfifo /tmp/go; i=0; while [ $i -lt 100 ]; do {child} i=$((i+1)); done; : > /tmp/go; echo ready; wait"
        )
        async with started(lab, shell(script), pids=150, cpus=1.0) as sandbox:
            output = Output(sandbox)
            await output.wait_for(lambda data: b"ready" in data)
            output.close()
            sandbox.limit_cpu(0.05)
            await asyncio.wait_for(sandbox.destroy(), 60)

    runner.run(scenario())


def _task(lab: Lab) -> tuple[Bind]:
    return (Bind(str(lab.task), "/var/task"),)


async def _host_pids(sandbox: Sandbox) -> list[int]:
    """The function's processes on the host: those that write to its output."""
    pipe = os.readlink(f"/proc/self/fd/{sandbox.output}")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "fd" / "1") == pipe:
                    found.append(int(entry.name))
    return found


async def _host_users(sandbox: Sandbox) -> set[int]:
    return {os.stat(f"/proc/{pid}").st_uid for pid in await _host_pids(sandbox)}
