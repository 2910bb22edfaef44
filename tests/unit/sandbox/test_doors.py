"""Doors: bytes go both ways to one address, within bounds, and end with the sandbox."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from lambdad.sandbox import doors
from lambdad.sandbox.doors import DOORS_MAX, Doors, OpenDoors, Upstream

DEADLINE_S = 60.0
BIG = bytes(range(256)) * 40_000
"""More than the buffers of four sockets hold."""


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: object, **fixtures: object) -> None:
        async def within_the_deadline() -> None:
            async with asyncio.timeout(DEADLINE_S):
                await test(*args, **fixtures)

        asyncio.run(within_the_deadline())

    return run


@pytest.fixture
def outside() -> Iterator[socket.socket]:
    """What is behind the door."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _open(upstream: socket.socket | Upstream) -> tuple[OpenDoors, tuple[str, int]]:
    """Doors of one sandbox with one door, and where it is."""
    if isinstance(upstream, socket.socket):
        upstream = Upstream(*upstream.getsockname())
    listener = _listener()
    address = listener.getsockname()
    return Doors([upstream]).open(asyncio.get_running_loop(), [listener]), address


async def _accept(server: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock, _ = await asyncio.get_running_loop().sock_accept(server)
    return await asyncio.open_connection(sock=sock)


@in_loop
async def test_bytes_go_both_ways_and_the_end_of_one_way_is_passed_on(outside: socket.socket) -> None:
    opened, address = _open(outside)
    reader, writer = await asyncio.open_connection(*address)
    far_reader, far_writer = await _accept(outside)
    writer.write(b"question")
    writer.write_eof()
    assert await far_reader.read() == b"question"
    far_writer.write(b"answer")
    far_writer.close()
    assert await reader.read() == b"answer"
    writer.close()
    opened.close()


@in_loop
async def test_who_does_not_read_makes_the_other_side_wait(outside: socket.socket) -> None:
    opened, address = _open(outside)
    reader, writer = await asyncio.open_connection(*address)
    far_reader, far_writer = await _accept(outside)
    writer.transport.set_write_buffer_limits(high=0)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(_send_all(writer))
        await asyncio.wait([sending], timeout=0.2)
        assert not sending.done()
        assert await far_reader.readexactly(len(BIG)) == BIG
    far_writer.close()
    assert await reader.read() == b""
    writer.close()
    opened.close()


async def _send_all(writer: asyncio.StreamWriter) -> None:
    writer.write(BIG)
    await writer.drain()


@in_loop
async def test_connections_to_this_host_do_not_come_from_its_usual_address(outside: socket.socket) -> None:
    opened, address = _open(outside)
    _, writer = await asyncio.open_connection(*address)
    sock, peer = await asyncio.get_running_loop().sock_accept(outside)
    assert peer[0] == "127.0.0.2"
    sock.close()
    writer.close()
    opened.close()


@in_loop
async def test_closing_the_doors_cuts_off_who_is_passing(outside: socket.socket) -> None:
    opened, address = _open(outside)
    reader, writer = await asyncio.open_connection(*address)
    far_reader, far_writer = await _accept(outside)
    opened.close()
    opened.close()
    assert await reader.read() == b""
    assert await far_reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    writer.close()
    far_writer.close()


@in_loop
async def test_where_nobody_listens_the_connection_ends_and_the_operator_hears_of_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with _listener() as closed:
        upstream = Upstream(*closed.getsockname())
    opened, address = _open(upstream)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            writer.close()
    opened.close()
    [record] = caplog.records
    assert str(upstream) in record.getMessage()
    assert "ECONNREFUSED" in record.getMessage()


@in_loop
async def test_connections_above_the_limit_wait_for_their_turn(
    outside: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_CONNECTIONS_MAX", 1)
    opened, address = _open(outside)
    _, first = await asyncio.open_connection(*address)
    _, far_first = await _accept(outside)
    _, second = await asyncio.open_connection(*address)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_accept(outside))
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()
        first.close()
        far_first.close()
    _, far_second = waiting.result()
    second.close()
    far_second.close()
    opened.close()


@in_loop
async def test_a_host_without_descriptors_ends_the_connection_and_takes_the_next(
    outside: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(upstream: Upstream) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(doors, "_REST_S", 0.01)
    opened, address = _open(outside)
    with monkeypatch.context() as patched:
        patched.setattr(Upstream, "make_socket", refuse)
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        writer.close()
    [record] = caplog.records
    assert "Too many open files" in record.getMessage()
    _, second = await asyncio.open_connection(*address)
    _, far_second = await _accept(outside)
    second.close()
    far_second.close()
    opened.close()


def test_there_are_not_more_doors_than_ports_for_them() -> None:
    with pytest.raises(ValueError, match="at most"):
        Doors([Upstream("127.0.0.1", port + 1) for port in range(DOORS_MAX + 1)])
