"""Sandboxes with `egress: internet`: what they reach, and what they must not, on a network of the test's own.

An "outside" namespace plays the internet (198.51.100.2) and, on the same wire, a private neighbour (10.99.0.2). Ports
8080, 8081 and 25 are open on both. The functions here are hostile: they try everything that is not the internet.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lambdad.linux import netlink
from lambdad.linux.netlink import Netlink
from lambdad.sandbox.firewall import parse_allowed
from lambdad.sandbox.interface import SandboxError
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.network import GATEWAY, Router
from lambdad.sandbox.spec import Exec
from lambdad.testing.conformance.sandbox import Lab, Output, run, run_script, shell, started
from lambdad.testing.probes import (
    can_make_namespaces,
    can_mount_loop,
    can_mount_overlay,
    can_route_and_filter,
    is_root,
    skip_unless,
)

pytestmark = [
    pytest.mark.kernel,
    skip_unless(is_root(), can_make_namespaces(), can_mount_loop(), can_mount_overlay(), can_route_and_filter()),
]

INTERNET, NEIGHBOUR, HOST = "198.51.100.2", "10.99.0.2", "198.51.100.1"
WIRE = "lbdtest0"
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
DEADLINE_S = 60.0

OUTSIDE = """
import socket, selectors, sys
listeners = selectors.DefaultSelector()
for port in (25, 8080, 8081):
    listener = socket.create_server(("0.0.0.0", port))
    listeners.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in listeners.select():
        connection, address = key.fileobj.accept()
        with connection:
            connection.sendall(b"seen from " + address[0].encode() + b"\\n")
"""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)


@pytest.fixture(scope="module")
def outside() -> Iterator[None]:
    """The world behind the host."""
    server = subprocess.Popen(["unshare", "-n", sys.executable, "-c", OUTSIDE], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        inside = ("nsenter", "-n", "-t", str(server.pid), "ip")
        _run("ip", "link", "add", WIRE, "type", "veth", "peer", "name", "wire", "netns", str(server.pid))
        _run("ip", "address", "add", f"{HOST}/24", "dev", WIRE)
        _run("ip", "address", "add", "10.99.0.1/24", "dev", WIRE)
        _run("ip", "link", "set", WIRE, "up")
        _run(*inside, "address", "add", f"{INTERNET}/24", "dev", "wire")
        _run(*inside, "address", "add", f"{NEIGHBOUR}/24", "dev", "wire")
        _run(*inside, "link", "set", "wire", "up")
        yield
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
        with contextlib.suppress(OSError), Netlink() as conversation:
            conversation.ask(netlink.remove_link(WIRE), "the wire")


@contextlib.asynccontextmanager
async def _lab(workspace: Path, *allowed: str, egress: str = "internet") -> AsyncIterator[Lab]:
    workspace.chmod(0o755)
    driver = NativeDriver(
        workspace / "state", prepared=1, egress=egress, allowed=[parse_allowed(text) for text in allowed]
    )
    await driver.open()
    try:
        yield Lab(driver, workspace)
    finally:
        await driver.close()


def bash(script: str) -> Exec:
    """Its sh has no network of its own."""
    return Exec(("/bin/bash", "-c", script))


def _tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True, timeout=60).stdout


async def _connects(lab: Lab, address: str, port: int) -> bool:
    return (await run(lab, bash(f"exec 3<>/dev/tcp/{address}/{port} && echo yes"), egress="internet")).text == "yes\n"


async def _try(lab: Lab, address: str, port: int) -> str:
    """What a function hears from there; `no` if it is refused."""
    # bash's own network, with a bound on waiting: a packet that is dropped would keep the test for minutes
    script = f"timeout 20 bash -c 'exec 3<>/dev/tcp/{address}/{port} && timeout 20 cat <&3' 2>/dev/null || echo no"
    result = await run_script(lab, script, egress="internet")
    return result.text.strip()


@pytest.mark.usefixtures("outside")
def test_the_internet_is_reached_and_sees_the_hosts_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _lab(tmp_path) as lab:
            assert await _try(lab, INTERNET, 8080) == f"seen from {HOST}"

    asyncio.run(scenario())


@pytest.mark.usefixtures("outside")
def test_two_nodes_of_a_host_do_not_mind_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        async with _lab(tmp_path / "one") as one:
            async with _lab(tmp_path / "two") as two:
                assert await _try(two, INTERNET, 8080) == f"seen from {HOST}"
            assert await _try(one, INTERNET, 8080) == f"seen from {HOST}"

    asyncio.run(scenario())


@pytest.mark.usefixtures("outside")
def test_the_host_its_neighbours_metadata_and_mail_are_not_reached(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("0.0.0.0", 0)) as of_the_host:
            port = of_the_host.getsockname()[1]
            async with _lab(tmp_path) as lab:
                places = [
                    (NEIGHBOUR, 8080),
                    (HOST, port),
                    ("10.99.0.1", port),
                    (str(GATEWAY), port),
                    ("169.254.169.254", 80),
                    (INTERNET, 25),
                ]
                heard = [await _try(lab, *place) for place in places]
        assert heard == ["no"] * len(places)

    asyncio.run(scenario())


@pytest.mark.usefixtures("outside")
def test_one_sandbox_does_not_reach_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        listening = (
            "import socket; s = socket.create_server(('0.0.0.0', 8080)); "
            "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(('198.51.100.2', 1)); "
            "print(u.getsockname()[0], flush=True); s.accept(); print('reached', flush=True)"
        )
        start = shell(f'exec python3 -c "{listening}"')
        async with _lab(tmp_path) as lab, started(lab, start, egress="internet") as victim:
            output = Output(victim)
            address = (await output.wait_for(lambda data: data.endswith(b"\n"))).decode().strip()
            assert address.startswith("169.254.")
            assert await _try(lab, address, 8080) == "no"
            assert output.close().strip() == address

    asyncio.run(scenario())


@pytest.mark.usefixtures("outside")
def test_what_the_operator_allows_is_reached_and_nothing_beside_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("0.0.0.0", 0)) as of_the_host:
            port = of_the_host.getsockname()[1]
            async with _lab(tmp_path, f"{NEIGHBOUR}:8080", f"{HOST}:{port}") as lab:
                assert (await _try(lab, NEIGHBOUR, 8080)).startswith("seen from")
                assert await _try(lab, NEIGHBOUR, 8081) == "no"
                assert await _connects(lab, HOST, port)

    asyncio.run(scenario())


def test_names_are_asked_of_the_relay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _lab(tmp_path) as lab:
            assert (await run_script(lab, "cat /etc/resolv.conf", egress="internet")).text == f"nameserver {GATEWAY}\n"
            assert await _connects(lab, str(GATEWAY), 53)

    asyncio.run(scenario())


def test_nothing_of_it_is_left_on_the_host(tmp_path: Path) -> None:
    async def scenario() -> None:
        before = _tables(), FORWARD.read_text(), socket.if_nameindex()
        async with _lab(tmp_path) as lab:
            assert (await run_script(lab, "echo runs", egress="internet")).text == "runs\n"
            assert _tables() != before[0]
        assert (_tables(), FORWARD.read_text(), socket.if_nameindex()) == before

    asyncio.run(scenario())


def test_what_a_killed_worker_leaves_is_removed_by_the_next() -> None:
    before = _tables(), FORWARD.read_text()
    code = (
        "import asyncio; from lambdad.sandbox.network import Router\n"
        "async def main():\n"
        "    await Router('killed').open()\n"
        "    print('open', flush=True)\n"
        "    await asyncio.get_running_loop().create_future()\n"
        "asyncio.run(main())"
    )
    for number in (signal.SIGKILL, signal.SIGKILL):
        worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert worker.stdout is not None
        with worker.stdout:
            assert worker.stdout.readline() == b"open\n"
        os.kill(worker.pid, number)
        worker.wait()

    async def scenario() -> None:
        router = Router("killed")
        await router.open()
        await router.close()

    asyncio.run(scenario())
    assert (_tables(), FORWARD.read_text()) == before


def test_a_name_relay_that_dies_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _lab(tmp_path) as lab:
            killed = subprocess.run(["pkill", "-KILL", "-f", "sandbox.name_relay", "-P", str(os.getpid())], timeout=60)
            assert killed.returncode == 0
            assert await _connects(lab, str(GATEWAY), 53)

    asyncio.run(scenario())


def test_a_driver_gives_one_kind_of_network(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _lab(tmp_path) as lab:
            with pytest.raises(SandboxError, match="have egress `internet`, not `none`"):
                await run_script(lab, "true")

    asyncio.run(scenario())


def test_the_hosts_own_network_is_given_whole_with_a_runtime_api_beside_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as of_the_host:
            port = of_the_host.getsockname()[1]
            async with _lab(tmp_path, egress="host") as lab:
                assert any("egress: host" in text for text in lab.driver.weaknesses)
                script = (
                    f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo host; "
                    "exec 4<>/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://} && echo api"
                )
                environment = {"PATH": "/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}
                result = await run(lab, bash(script), egress="host", environment=environment)
                assert result.text == "host\napi\n"

    asyncio.run(scenario())
