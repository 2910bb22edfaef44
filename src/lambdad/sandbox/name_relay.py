"""Carries DNS queries of sandboxes to the host's name servers, mostly at addresses that sandboxes may not reach.

A process of its own without rights, run as `python -m lambdad.sandbox.name_relay DATAGRAMS STREAMS LIFELINE`, all
descriptors: a bound UDP socket and a listening TCP socket of the sandboxes' network, and a socket whose end is the
relay's end. Upstream it speaks in the network that it was started in.

It relays whole messages and reads none of them: what a name resolves to is between the function and the server, and
where the function may then go is the firewall's matter. Every query has an upstream socket of its own for a bounded
time; above the bounds queries are dropped, as a busy server would. The places are shared between the sandboxes
(`relay_places`), and each query that comes in lets those under way have their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from lambdad.sandbox.relay_places import Place, Places

RESOLV_CONF = Path("/etc/resolv.conf")

_QUERIES_MAX, _QUERIES_EACH = 512, 128
_CONNECTIONS_MAX, _CONNECTIONS_EACH = 128, 16
"""At once, of all sandboxes and of one."""
_ANSWER_TIMEOUT_S = 4.0
_CONNECTION_TIMEOUT_S = 30.0
_MESSAGE_MAX = 65_535
_CHUNK = 16_384
_NOBODY = 65_534
_DNS_PORT = 53

Servers = Callable[[], Sequence[tuple[str, int]]]
"""Name servers as they are now, in the order to ask them."""


def parse_resolv_conf(text: str) -> tuple[str, ...]:
    """The addresses of the name servers, in order; three at most, as the C library has it."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                ip_address(words[1].partition("%")[0])
                found.append(words[1])
    return tuple(found[:3])


class HostServers:
    """The host's name servers, read again when their file has changed: a laptop moves from network to network."""

    def __init__(self, path: Path = RESOLV_CONF) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._servers: tuple[tuple[str, int], ...] = ()

    def __call__(self) -> Sequence[tuple[str, int]]:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                self._servers = tuple((server, _DNS_PORT) for server in parse_resolv_conf(self._path.read_text()))
                self._seen = seen
        except (OSError, UnicodeDecodeError):
            self._servers, self._seen = (), None
        return self._servers


class NameRelay:
    """Serves the two sockets until cancelled."""

    def __init__(self, datagrams: socket.socket, streams: socket.socket, servers: Servers) -> None:
        self._datagrams = datagrams
        self._streams = streams
        self._servers = servers
        self._queries = Places(_QUERIES_MAX, _QUERIES_EACH)
        self._connections = Places(_CONNECTIONS_MAX, _CONNECTIONS_EACH)

    async def serve(self) -> None:
        self._datagrams.setblocking(False)
        self._streams.setblocking(False)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve_datagrams(group))
            group.create_task(self._serve_streams(group))

    async def _serve_datagrams(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            query, client = await loop.sock_recvfrom(self._datagrams, _MESSAGE_MAX)
            place = self._queries.take(client[0])
            if place is not None:
                _hold(self._queries, place, group.create_task(self._relay_query(query, client)))
            await asyncio.sleep(0)  # receiving does not wait while there is something: a flood would be all that runs

    async def _relay_query(self, query: bytes, client: tuple[str, int]) -> None:
        for server in self._servers():
            with contextlib.suppress(OSError, TimeoutError):
                answer = await _ask(query, server)
                await asyncio.get_running_loop().sock_sendto(self._datagrams, answer, client)
                return

    async def _serve_streams(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, (address, _) = await loop.sock_accept(self._streams)
            place = self._connections.take(address)
            if place is None:
                client.close()
            else:
                task = group.create_task(self._relay_stream(client))
                _hold(self._connections, place, task)
                task.add_done_callback(partial(_close, client))
            await asyncio.sleep(0)

    async def _relay_stream(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            client.setblocking(False)
            async with asyncio.timeout(_CONNECTION_TIMEOUT_S):
                await self._join(client)

    async def _join(self, client: socket.socket) -> None:
        """Copy both ways until one side has nothing more to say."""
        for server in self._servers():
            try:
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    reader, writer = await asyncio.open_connection(*server)
            except (OSError, TimeoutError):
                continue
            theirs, ours = await asyncio.open_connection(sock=client)
            try:
                copies = [_copy(theirs, writer), _copy(reader, ours)]
                await asyncio.gather(*copies)
            finally:
                writer.close()
                ours.close()
            return


def _hold(places: Places, place: Place, task: asyncio.Task[None]) -> None:
    """The place is the task's; it is given back however the task ends, even if it never began."""
    place.end = task.cancel
    task.add_done_callback(lambda _: places.leave(place))


def _close(client: socket.socket, task: asyncio.Task[None]) -> None:
    del task
    client.close()


async def _ask(query: bytes, server: tuple[str, int]) -> bytes:
    """One datagram there and one back. Raises OSError or TimeoutError."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as upstream:
        upstream.setblocking(False)
        upstream.connect(server)
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            await loop.sock_sendall(upstream, query)
            return await loop.sock_recv(upstream, _MESSAGE_MAX)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()


def _give_up_rights() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)


async def _run(datagrams: socket.socket, streams: socket.socket, lifeline: socket.socket) -> None:
    """Until the worker closes the lifeline, or serving fails."""
    loop = asyncio.get_running_loop()
    lifeline.setblocking(False)
    serving = loop.create_task(NameRelay(datagrams, streams, HostServers()).serve())
    ending = loop.create_task(loop.sock_recv(lifeline, 1))
    await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    serving.cancel()
    ending.cancel()


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a worker stopped from a terminal ends its relay when it is done
    _give_up_rights()
    sockets = [socket.socket(fileno=int(number)) for number in arguments[1:4]]
    asyncio.run(_run(*sockets))


if __name__ == "__main__":
    main(sys.argv)
