"""The network of sandboxes with `egress: internet`: a router in a namespace of its own, and a link to it for each cell.

    cell (eth0) ── port of a bridge, isolated ── router: firewall, name relay ── uplink ── host: masquerade ── internet

The router's namespace has no name: it lives in a thread of the worker, and dies with it, with every interface in it.
What could outlive a killed worker is in the host's own tables and is removed at the next `open`: one table of nft, and
`ip_forward` if it was off and no other node uses it. All of it is done by that one thread: the kernel has one lock for
these requests anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from lambdad.linux import netlink, syscalls
from lambdad.linux.netlink import Netlink
from lambdad.sandbox import firewall
from lambdad.sandbox.firewall import UPLINK_PREFIX, Allowed, FirewallError
from lambdad.sandbox.interface import SandboxError

_log = logging.getLogger(__name__)

SANDBOXES = IPv4Network("169.254.0.0/18")
"""Addresses of sandboxes, link-local as they are on AWS; nobody outside of the router's namespace sees them."""
GATEWAY = IPv4Address("169.254.0.1")
UPLINKS = IPv4Network("169.254.64.0/18")
"""Where a node's uplink takes its two addresses, by the node's name, so that several nodes share a host."""

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARD_WAS_OFF = Path("/run/lambdad-ip-forward-was-off")
"""Of all nodes of a host: the last one to go switches it off again."""
_ROUTES = Path("/proc/thread-self/net/route")
_BRIDGE, _UPLINK_INSIDE, _CELL_INTERFACE = "cells", "uplink", "eth0"
_DNS_PORT = 53
_RELAY_RETRY_S = 1.0


class Link:
    """What connects one cell. `release` its address when the cell is gone; the kernel has then removed the rest."""

    def __init__(self, number: int, release: Callable[[int], None]) -> None:
        self.number = number
        self._release = release

    @property
    def address(self) -> IPv4Address:
        return SANDBOXES.network_address + self.number

    def release(self) -> None:
        """Once, or more often."""
        release, self._release = self._release, _nothing
        release(self.number)


class Router:
    """name: the node's, unique on the host. allowed: private destinations that are let through."""

    def __init__(self, name: str, allowed: Sequence[Allowed] = ()) -> None:
        digest = hashlib.sha256(name.encode()).digest()
        self._table = f"lambdad_{digest.hex()[:8]}"
        self._uplink = UPLINK_PREFIX + digest.hex()[:8]
        self._place = int.from_bytes(digest[:4], "big")
        self._allowed = tuple(allowed)
        self._thread = ThreadPoolExecutor(1, "network")
        self._own: Netlink | None = None
        self._host = self._own_namespace = -1
        self._bridge = 0
        self._free: deque[int] = deque()
        self._links = 0
        self._next = 2  # the network's own address and the gateway's come first
        self._relay: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self._relay_sockets: tuple[socket.socket, socket.socket] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Make the router. Raises SandboxError."""
        loop = asyncio.get_running_loop()
        try:
            self._relay_sockets = await loop.run_in_executor(self._thread, self._build)
            self._start_relay()
        except (OSError, FirewallError) as error:
            raise SandboxError(f"the network of sandboxes (`egress: internet`) cannot be made: {error}") from error

    def attach(self, pid: int) -> asyncio.Future[Link]:
        """Connect the network namespace of a process, which has nothing but loopback. Fails with SandboxError."""
        loop = asyncio.get_running_loop()
        attached: asyncio.Future[Link] = loop.create_future()
        try:
            link = Link(self._take_number(), self._free.append)
            connected = loop.run_in_executor(self._thread, self._connect, pid, link.address)
        except (SandboxError, RuntimeError) as error:  # no address, or closed already
            attached.set_exception(SandboxError(f"connecting a sandbox to the network failed: {error}"))
            return attached

        def on_connected(done: asyncio.Future[None]) -> None:
            error = done.exception()
            if error is None:
                attached.set_result(link)
            else:
                link.release()
                attached.set_exception(SandboxError(f"connecting a sandbox to the network failed: {error}"))

        connected.add_done_callback(on_connected)
        return attached

    async def close(self) -> None:
        """Take the router and what the host had for it away. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._lifeline is not None:
            asyncio.get_running_loop().remove_reader(self._lifeline)
            self._lifeline.close()
        if self._relay is not None:
            self._relay.wait()
        for sock in self._relay_sockets or ():
            sock.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._demolish)
        # The thread's end is the end of its namespace, and of every interface in it.
        await asyncio.to_thread(self._thread.shutdown)

    def _take_number(self) -> int:
        """Of an address: one never used, then the one that has been free for longest, for the sake of late packets."""
        if self._next < SANDBOXES.num_addresses - 1:
            self._next += 1
            return self._next - 1
        if not self._free:
            raise SandboxError(f"all {SANDBOXES.num_addresses} addresses of sandboxes are in use")
        return self._free.popleft()

    # In the thread

    def _build(self) -> tuple[socket.socket, socket.socket]:
        self._host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._remove_leftovers()
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self._own_namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._own = Netlink()
        _silence_ipv6("default")
        firewall.apply_rules(
            firewall.router_rules(bridge=_BRIDGE, uplink=_UPLINK_INSIDE, gateway=GATEWAY, allowed=self._allowed)
        )
        here, there = self._build_uplink()
        self._build_bridge()
        self._own.ask(netlink.add_default_route(there.ip), "the router's route")
        _FORWARD.write_text("1")
        self._set_up_host(here)
        return _name_sockets()

    def _remove_leftovers(self) -> None:
        """Of a worker that was killed. In the host's namespace."""
        firewall.apply_rules(firewall.removal(self._table))
        uplinks = {name for _, name in socket.if_nameindex() if name.startswith(UPLINK_PREFIX)}
        if _FORWARD_WAS_OFF.exists() and not uplinks - {self._uplink}:
            _FORWARD.write_text("0")
            _FORWARD_WAS_OFF.unlink(missing_ok=True)

    def _build_uplink(self) -> tuple[IPv4Interface, IPv4Interface]:
        """The way out. Returns the router's and the host's address on it."""
        assert self._own is not None
        syscalls.setns(self._host, syscalls.CLONE_NEWNET)
        try:
            here, there = choose_uplink(self._place, _ROUTES.read_text())
            with Netlink() as outside:
                with contextlib.suppress(OSError):
                    outside.ask(netlink.remove_link(self._uplink), "an old uplink")
                outside.ask(netlink.add_veth(self._uplink, _UPLINK_INSIDE, self._own_namespace), "the uplink")
                index = socket.if_nametoindex(self._uplink)
                _silence_ipv6(self._uplink)
                outside.ask(netlink.add_address(index, there), "the uplink's address")
                outside.ask(netlink.switch_on(self._uplink), "the uplink")
        finally:
            syscalls.setns(self._own_namespace, syscalls.CLONE_NEWNET)
        self._own.ask(netlink.add_address(socket.if_nametoindex(_UPLINK_INSIDE), here), "the router's address")
        self._own.ask(netlink.switch_on("lo"), "the router's loopback")
        self._own.ask(netlink.switch_on(_UPLINK_INSIDE), "the router's uplink")
        return here, there

    def _build_bridge(self) -> None:
        assert self._own is not None
        self._own.ask(netlink.add_bridge(_BRIDGE), "the bridge")
        self._bridge = socket.if_nametoindex(_BRIDGE)
        gateway = IPv4Interface((GATEWAY, SANDBOXES.prefixlen))
        self._own.ask(netlink.add_address(self._bridge, gateway), "the bridge's address")
        self._own.ask(netlink.switch_on(_BRIDGE), "the bridge")

    def _set_up_host(self, router: IPv4Interface) -> None:
        syscalls.setns(self._host, syscalls.CLONE_NEWNET)
        try:
            is_router = _FORWARD.read_text().strip() == "1"
            firewall.apply_rules(
                firewall.host_rules(
                    table=self._table,
                    uplink=self._uplink,
                    router=router.ip,
                    allowed=self._allowed,
                    is_router=is_router,
                )
            )
            if not is_router:
                _FORWARD_WAS_OFF.touch(mode=0o600)
                _FORWARD.write_text("1")
        finally:
            syscalls.setns(self._own_namespace, syscalls.CLONE_NEWNET)

    def _connect(self, pid: int, address: IPv4Address) -> None:
        assert self._own is not None
        self._links += 1  # the kernel takes a dead cell's link away in its own time: no name comes twice
        name = f"cell{self._links}"
        cell = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._own.ask(netlink.add_veth(name, _CELL_INTERFACE, cell), "a link")
            self._own.ask(netlink.join_bridge(name, self._bridge), "the bridge")
            self._own.ask(netlink.isolate_port(socket.if_nametoindex(name)), "the port")
            syscalls.setns(cell, syscalls.CLONE_NEWNET)
            try:
                with Netlink() as inside:
                    own = IPv4Interface((address, SANDBOXES.prefixlen))
                    _silence_ipv6(_CELL_INTERFACE)
                    inside.ask(netlink.add_address(socket.if_nametoindex(_CELL_INTERFACE), own), "the address")
                    inside.ask(netlink.switch_on(_CELL_INTERFACE), "the interface")
                    inside.ask(netlink.add_default_route(GATEWAY), "the route")
            finally:
                syscalls.setns(self._own_namespace, syscalls.CLONE_NEWNET)
        finally:
            os.close(cell)

    def _demolish(self) -> None:
        if self._host < 0:
            return
        syscalls.setns(self._host, syscalls.CLONE_NEWNET)
        with contextlib.suppress(OSError), Netlink() as outside:
            outside.ask(netlink.remove_link(self._uplink), "the uplink")
        try:
            self._remove_leftovers()
        except (OSError, FirewallError) as error:
            _log.warning("the host's network settings were not taken back: %s", error)
        if self._own is not None:
            self._own.close()
        for fd in (self._own_namespace, self._host):
            if fd >= 0:
                os.close(fd)
        self._host = -1

    # The name relay

    def _start_relay(self) -> None:
        assert self._relay_sockets is not None
        self._lifeline, theirs = socket.socketpair()
        passed = [sock.fileno() for sock in (*self._relay_sockets, theirs)]
        with theirs:
            self._relay = subprocess.Popen(  # not waited for: a few milliseconds on the loop, at the start only
                [sys.executable, "-P", "-m", "lambdad.sandbox.name_relay", *map(str, passed)],
                stdin=subprocess.DEVNULL,
                pass_fds=passed,
                cwd="/",
            )
        asyncio.get_running_loop().add_reader(self._lifeline, self._on_relay_ended)

    def _on_relay_ended(self) -> None:
        assert self._lifeline is not None
        assert self._relay is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._lifeline)
        self._lifeline.close()
        self._lifeline = None
        self._relay.wait()
        _log.warning("the name relay ended; starting another")
        loop.call_later(_RELAY_RETRY_S, self._restart_relay)

    def _restart_relay(self) -> None:
        if not self._is_closed:
            self._start_relay()


def choose_uplink(place: int, routes: str) -> tuple[IPv4Interface, IPv4Interface]:
    """Two addresses of a free /30 of `UPLINKS`, the router's and the host's, beginning at a place of the node's own.

    routes: the text of /proc/net/route. Raises OSError if none is free.
    """
    taken = _destinations(routes)
    count = UPLINKS.num_addresses // 4
    for step in range(count):
        network = IPv4Network((UPLINKS.network_address + (place + step) % count * 4, 30))
        if not any(network.overlaps(other) for other in taken):
            return IPv4Interface((network[1], 30)), IPv4Interface((network[2], 30))
    raise OSError(f"every network of {UPLINKS} is in use on this host")


def _destinations(routes: str) -> list[IPv4Network]:
    """Where the routes lead, but for the default ones and those of all link-local addresses."""
    found = []
    for line in routes.splitlines()[1:]:
        words = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(word), sys.byteorder) for word in (words[1], words[7]))
        if mask.bit_count() > 16:
            found.append(IPv4Network((address, mask.bit_count())))
    return found


def _name_sockets() -> tuple[socket.socket, socket.socket]:
    """Where the name relay listens, in the calling thread's namespace."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((str(GATEWAY), _DNS_PORT))
    streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    streams.bind((str(GATEWAY), _DNS_PORT))
    streams.listen(64)
    return datagrams, streams


def _silence_ipv6(interface: str) -> None:
    """No IPv6 on an interface of the calling thread's namespace, or on `default`, all that are made later."""
    with contextlib.suppress(FileNotFoundError):  # a kernel without it
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")


def _nothing(_: int) -> None:
    pass
