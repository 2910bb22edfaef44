"""The name relay over loopback: real sockets, name servers of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import pytest

from lambdad.sandbox.name_relay import HostServers, NameRelay, parse_resolv_conf

DEADLINE_S = 30.0


class _Echo(asyncio.DatagramProtocol):
    """A name server that answers with what it was asked, and its name in front."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._name + data, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def _relay(servers: list[tuple[str, int]]) -> AsyncIterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Where a relay to these servers listens, for datagrams and for streams."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    streams.bind(("127.0.0.1", 0))
    streams.listen()
    with datagrams, streams:
        serving = asyncio.get_running_loop().create_task(NameRelay(datagrams, streams, lambda: servers).serve())
        yield datagrams.getsockname(), streams.getsockname()
        serving.cancel()
        await asyncio.wait((serving,))


async def _ask(address: tuple[str, int], query: bytes, source: str = "127.0.0.1") -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind((source, 0))
        client.connect(address)
        await loop.sock_sendall(client, query)
        async with asyncio.timeout(DEADLINE_S):
            return await loop.sock_recv(client, 65_535)


@contextlib.asynccontextmanager
async def _server(name: bytes) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Echo(name), local_addr=("127.0.0.1", 0))
    yield transport.get_extra_info("sockname")
    transport.close()


def _closed_port() -> tuple[str, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address: tuple[str, int] = taken.getsockname()
        return address


def test_a_query_is_carried_there_and_back() -> None:
    async def scenario() -> None:
        async with _server(b"one:") as server, _relay([server]) as (datagrams, _):
            assert await _ask(datagrams, b"query") == b"one:query"
            answers = await asyncio.gather(*(_ask(datagrams, b"%d" % number) for number in range(50)))
            assert answers == [b"one:%d" % number for number in range(50)]

    asyncio.run(scenario())


def test_the_next_server_is_asked_when_one_is_not_there() -> None:
    async def scenario() -> None:
        async with _server(b"two:") as server, _relay([_closed_port(), server]) as (datagrams, _):
            assert await _ask(datagrams, b"query") == b"two:query"

    asyncio.run(scenario())


def test_a_stream_is_carried_both_ways() -> None:
    async def scenario() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"answer to " + await reader.read(100))
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, _relay([server.sockets[0].getsockname()]) as (_, streams), asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(*streams)
            writer.write(b"query")
            assert await reader.read() == b"answer to query"
            writer.close()

    asyncio.run(scenario())


class _Picky(asyncio.DatagramProtocol):
    """A name server that answers `good` and leaves everybody else waiting. asked: the queries that came."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.put_nowait(data)
        if data == b"good":
            self._transport.sendto(b"answer", addr)  # type: ignore[attr-defined]


def test_sandboxes_that_fill_the_relay_with_queries_do_not_keep_another_from_its_answer() -> None:
    """Eight of them ask for more than there is, of a server that takes its time."""

    async def scenario() -> None:
        transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
            _Picky, local_addr=("127.0.0.1", 0)
        )
        with contextlib.closing(transport):
            async with _relay([transport.get_extra_info("sockname")]) as (datagrams, _), asyncio.timeout(DEADLINE_S):
                for number in range(600):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
                        flood.bind((f"127.0.0.{2 + number % 8}", 0))
                        flood.sendto(b"%d" % number, datagrams)
                    if number < 512:
                        await server.asked.get()
                assert await _ask(datagrams, b"good", "127.0.0.100") == b"answer"

    asyncio.run(scenario())


def test_sandboxes_that_hold_connections_do_not_keep_another_from_its_own() -> None:
    async def scenario() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"answer to " + await reader.read(100))
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with (
            server,
            _relay([server.sockets[0].getsockname()]) as (_, streams),
            asyncio.timeout(DEADLINE_S),
            contextlib.AsyncExitStack() as stack,
        ):
            for number in range(160):
                reader, writer = await asyncio.open_connection(*streams, local_addr=(f"127.0.0.{2 + number % 10}", 0))
                stack.callback(writer.close)
            reader, writer = await asyncio.open_connection(*streams, local_addr=("127.0.0.100", 0))
            writer.write(b"query")
            assert await reader.read() == b"answer to query"
            writer.close()

    asyncio.run(scenario())


def test_a_flood_that_never_pauses_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receiving takes no time as long as something is there: only a signal would end a loop that never yields."""
    received = 0

    async def scenario() -> None:
        async def receive(sock: socket.socket, size: int) -> tuple[bytes, tuple[str, int]]:
            nonlocal received
            received += 1
            return b"query", ("127.0.0.2", 1)

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "sock_recvfrom", receive)
        async with _relay([]):
            before = received
            for _ in range(10):
                await asyncio.sleep(0)
            assert before < received < before + 100

    def still_receiving(number: int, frame: FrameType | None) -> None:
        raise AssertionError("the relay does nothing but receive")

    before = signal.signal(signal.SIGALRM, still_receiving)
    signal.alarm(30)
    try:
        asyncio.run(scenario())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_without_a_server_a_stream_is_closed_and_a_query_is_dropped() -> None:
    async def scenario() -> None:
        async with _relay([]) as (datagrams, streams), asyncio.timeout(DEADLINE_S):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"query", datagrams)
            reader, writer = await asyncio.open_connection(*streams)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ()),
        ("# nameserver 1.1.1.1\nnameserver 10.0.0.1\nsearch example.org\n", ("10.0.0.1",)),
        ("nameserver\nnameserver nonsense\nnameserver fe80::1%eth0\n", ("fe80::1%eth0",)),
        ("".join(f"nameserver 10.0.0.{number}\n" for number in range(9)), ("10.0.0.0", "10.0.0.1", "10.0.0.2")),
    ],
)
def test_name_servers_are_read_as_the_c_library_reads_them(text: str, servers: tuple[str, ...]) -> None:
    assert parse_resolv_conf(text) == servers


def test_the_hosts_servers_are_those_of_now(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = HostServers(path)
    assert servers() == ()
    for number in (1, 2):
        path.write_text(f"nameserver 10.0.0.{number}\n")
        os.utime(path, (time.time() + number, time.time() + number))
        assert servers() == ((f"10.0.0.{number}", 53),)
    path.unlink()
    assert servers() == ()
