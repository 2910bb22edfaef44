"""Functions that look around: the host's files and processes, other sandboxes, the network."""

from __future__ import annotations

import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from lambdad.testing.deploying import Deployed, deploy_python
from lambdad.testing.local_node import LocalNode

PROBE = """
import os, socket
def attempt(action):
    try:
        return ["done", repr(action())[:200]]
    except BaseException as error:
        return ["refused", type(error).__name__ + ": " + str(error)[:200]]

def handler(event, context):
    return {name: attempt(lambda code=code: eval(code)) for name, code in event.items()}
"""


@pytest.fixture(scope="module")
def prober(lambda_client: Any) -> Any:
    with deploy_python(lambda_client, PROBE, Timeout=60, MemorySize=512) as function:
        yield function


def refused(prober: Deployed, **codes: str) -> None:
    told = prober.invoke(codes).value
    assert {name: result for name, result in told.items() if result[0] != "refused"} == {}


def test_files_of_the_host_cannot_be_read(prober: Deployed, node: LocalNode) -> None:
    secret = Path("/etc/shadow")
    assert secret.exists()
    refused(
        prober,
        shadow="open('/etc/shadow').read()",
        gshadow="open('/etc/gshadow').read()",
        root_home="open('/root/.profile').read()",
        ssh="os.listdir('/etc/ssh')",
        home="os.listdir('/home/' + os.listdir('/home')[0])",
        var_lib="os.listdir('/var/lib')",
        run="os.listdir('/run/systemd')",
        data=f"os.listdir({str(node.data_dir)!r})",
        database=f"open({str(node.data_dir / 'state' / 'lambdad.db')!r}, 'rb').read(1)",
        host_tmp=f"os.listdir({str(node.data_dir.parent)!r})",
        cgroup="os.listdir('/sys/fs/cgroup')",
        sys="os.listdir('/sys/kernel')",
        kcore="open('/proc/kcore', 'rb').read(1)[0]",  # masked by an empty file where the kernel has it
        kmsg="open('/dev/kmsg', 'rb').read(1)",
        mem="open('/dev/mem', 'rb').read(1)",
        disk="open('/dev/vda', 'rb').read(1)",
        loop="open('/dev/loop0', 'rb').read(1)",
        fuse="open('/dev/fuse', 'rb')",
    )


def test_nothing_but_tmp_can_be_written(prober: Deployed) -> None:
    refused(
        prober,
        root="open('/file', 'w')",
        task="open('/var/task/file', 'w')",
        runtime="open('/var/runtime/file', 'w')",
        opt="open('/opt/file', 'w')",
        etc="open('/etc/passwd', 'a')",
        usr="open('/usr/bin/file', 'w')",
        dev="os.mknod('/dev/file')",
        proc="open('/proc/sys/kernel/hostname', 'w').write('x')",
        core="open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')",
        sysrq="open('/proc/sysrq-trigger', 'w').write('b')",
    )


def test_only_its_own_processes_are_visible(prober: Deployed) -> None:
    told = prober.invoke({"pids": "sorted(int(name) for name in os.listdir('/proc') if name.isdigit())"}).value
    assert told["pids"][0] == "done"
    assert len(eval(told["pids"][1])) <= 3
    refused(
        prober,
        environ="open('/proc/1/environ').read() or 1 / 0",
        root="os.listdir('/proc/1/root')",
        fds="os.listdir('/proc/1/fd')",
        memory="open('/proc/1/mem', 'rb').read(1)",
    )


def test_another_sandbox_is_not_there(lambda_client: Any, prober: Deployed) -> None:
    source = "def handler(event, context):\n    open('/tmp/secret-of-another', 'w').write('x')\n    return 1\n"
    with deploy_python(lambda_client, source) as other:
        assert other.invoke({}).value == 1
        told = prober.invoke({"tmp": "os.path.exists('/tmp/secret-of-another')", "shm": "os.listdir('/dev/shm')"}).value
        assert told["tmp"] == ["done", "False"]
        assert told["shm"][0] == "refused"


def test_the_only_network_is_its_own_runtime_api(prober: Deployed, node: LocalNode) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    try:
        refused(
            prober,
            metadata="socket.create_connection(('169.254.169.254', 80), 2)",
            host_loopback=f"socket.create_connection(('127.0.0.1', {port}), 2)",
            api=f"socket.create_connection(('127.0.0.1', {node.port}), 2)",
            internet="socket.create_connection(('192.0.2.1', 80), 2)",
            dns="socket.getaddrinfo('example.invalid', 80)[0][1/0]",
        )
    finally:
        listener.close()
    told = prober.invoke({"interfaces": "[name for _, name in socket.if_nameindex()]"}).value
    assert told["interfaces"] == ["done", "['lo']"] or told["interfaces"][0] == "refused"


def test_sockets_of_the_host_cannot_be_reached(prober: Deployed, node: LocalNode) -> None:
    name = f"\\0lambdad-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name.replace("\\0", "\0"))
        listener.listen()
        worker = str(node.data_dir / "run" / "worker.sock")
        refused(
            prober,
            abstract=f"socket.socket(socket.AF_UNIX).connect('{name}')",
            worker=f"socket.socket(socket.AF_UNIX).connect({worker!r})",
            docker="socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
        )


def test_system_calls_that_widen_the_world_are_refused(prober: Deployed) -> None:
    libc = "__import__('ctypes').CDLL(None, use_errno=True)"
    check = "(_ for _ in ()).throw(OSError(__import__('ctypes').get_errno(), 'refused')) if {call} < 0 else 'allowed'"

    def call(expression: str) -> str:
        return check.format(call=f"{libc}.{expression}")

    refused(
        prober,
        mount=call("mount(b'none', b'/tmp', b'tmpfs', 0, None)"),
        umount=call("umount2(b'/tmp', 2)"),
        unshare_user=call("unshare(0x10000000)"),
        unshare_mount=call("unshare(0x00020000)"),
        setns=call("setns(os.open('/proc/self/ns/net', 0), 0)"),
        ptrace=call("ptrace(16, 1, 0, 0)"),
        chroot=call("chroot(b'/tmp')"),
        init_module=call("syscall(175, b'x', 1, b'')"),
        bpf=call("syscall(321, 0, 0, 0)"),
        keyctl=call("syscall(250, 0, 0, 0)"),
        io_uring=call("syscall(425, 8, 0)"),
        userfaultfd=call("syscall(323, 0)"),
        perf=call("syscall(298, 0, 0, -1, -1, 0)"),
        reboot=call("reboot(0)"),
        sethostname=call("sethostname(b'x', 1)"),
        swapon=call("swapon(b'/tmp/x', 0)"),
        setuid=call("setuid(0)"),
        raw="socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        packet="socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        netlink="socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)",
        vsock="socket.socket(40, socket.SOCK_STREAM)",
        alg="socket.socket(38, socket.SOCK_SEQPACKET)",
        mknod="os.mknod('/tmp/sda', 0o60666, os.makedev(8, 0))",
        chown="os.chown('/tmp', 0, 0)",
    )


def test_setuid_programs_give_nothing(prober: Deployed) -> None:
    told = prober.invoke({"status": "open('/proc/self/status').read()"}).value
    assert told["status"][0] == "done"
    told = prober.invoke(
        {
            "uid": "os.getresuid()",
            "groups": "os.getgroups()",
            "caps": "[l for l in open('/proc/self/status') if l.startswith('Cap')]",
            "privs": "[l for l in open('/proc/self/status') if l.startswith('NoNewPrivs')]",
            "seccomp": "[l for l in open('/proc/self/status') if l.startswith('Seccomp:')]",
        }
    ).value
    assert told["uid"][1] == "(993, 993, 993)"
    assert eval(told["groups"][1]) in ([], [990])
    assert all(line.split("\t")[1].strip("\n0") == "" for line in eval(told["caps"][1]))
    assert "1" in told["privs"][1]
    assert "2" in told["seccomp"][1]


def test_no_descriptor_of_the_worker_is_inherited(lambda_client: Any) -> None:
    links_of = "[os.readlink(f'/proc/self/fd/{n}') for n in range(1024) if os.path.lexists(f'/proc/self/fd/{n}')]"
    with deploy_python(lambda_client, PROBE) as fresh:
        told = fresh.invoke({"fds": f"__import__('json').dumps({links_of})[:180]"}).value
    assert told["fds"][0] == "done"
    own = ("/dev/null", "pipe:", "socket:", "/dev/urandom", "anon_inode:[event")
    links = [link for link in re.findall(r'"([^"]+)"', told["fds"][1]) if not link.startswith(own)]
    assert links == []


def test_the_environment_holds_nothing_of_the_host(prober: Deployed) -> None:
    marker = threading.get_native_id()
    os.environ["LAMBDAD_TEST_MARKER"] = str(marker)
    told = prober.invoke({"names": "sorted(os.environ)"}).value
    assert "LAMBDAD_TEST_MARKER" not in told["names"][1]
    assert "LAMBDAD" not in told["names"][1]
