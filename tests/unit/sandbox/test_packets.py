from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Iterator

import pytest

from lambdad.sandbox.packets import PacketReader, Requests, packet_pair, receive_packet

DEADLINE_S = 30.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = packet_pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_packets_keep_their_bounds_and_bring_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    async def scenario() -> list[tuple[bytes, int]]:
        ours, theirs = pair
        found: list[tuple[bytes, int]] = []
        done = asyncio.Event()

        def on_packet(data: bytes, fds: list[int]) -> None:
            found.append((data, len(fds)))
            for fd in fds:
                assert not os.get_inheritable(fd)
                os.close(fd)
            if not data:
                done.set()

        reader = PacketReader(asyncio.get_running_loop(), ours, on_packet)
        theirs.send(b"one")
        socket.send_fds(theirs, [b"two"], [0, 1, 2])
        theirs.close()
        await asyncio.wait_for(done.wait(), DEADLINE_S)
        assert reader.is_closed
        reader.close()
        return found

    assert asyncio.run(scenario()) == [(b"one", 0), (b"two", 3), (b"", 0)]


def test_who_sends_as_fast_as_it_is_read_does_not_keep_the_loop(pair: tuple[socket.socket, socket.socket]) -> None:
    """Each packet that is read is followed by another at once: a reader that waited for the last would never end."""

    async def scenario() -> None:
        ours, theirs = pair
        read = 0

        def on_packet(data: bytes, fds: list[int]) -> None:
            nonlocal read
            read += 1
            if read < 10_000:
                theirs.send(b"more")

        loop = asyncio.get_running_loop()
        reader = PacketReader(loop, ours, on_packet)
        theirs.send(b"first")
        turns: list[int] = []
        while read < 10_000:
            await asyncio.sleep(0)
            turns.append(read)
        assert len(turns) > 100, "others had a turn in between"
        reader.close()

    asyncio.run(scenario())


def test_a_reader_that_is_closed_calls_nobody(pair: tuple[socket.socket, socket.socket]) -> None:
    async def scenario() -> None:
        ours, theirs = pair
        reader = PacketReader(asyncio.get_running_loop(), ours, lambda data, fds: pytest.fail("called"))
        theirs.send(b"late")
        reader.close()
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(scenario())


async def _serve(theirs: socket.socket, answers: int) -> list[dict[str, int]]:
    """Answer so many requests with what they asked, and one descriptor each."""
    loop = asyncio.get_running_loop()
    asked = []
    theirs.setblocking(False)
    for _ in range(answers):
        request = json.loads(await asyncio.wait_for(loop.sock_recv(theirs, 4096), DEADLINE_S))
        asked.append(request)
        socket.send_fds(theirs, [json.dumps(request).encode()], [0])
    return asked


def test_a_hundred_requests_are_answered_each_with_its_own(pair: tuple[socket.socket, socket.socket]) -> None:
    async def scenario() -> None:
        ours, theirs = pair
        requests = Requests(asyncio.get_running_loop(), ours)
        futures = [requests.send({"number": number}) for number in range(100)]
        await _serve(theirs, 100)
        for number, future in enumerate(futures):
            answer, fds = await asyncio.wait_for(future, DEADLINE_S)
            assert answer == {"number": number}
            os.close(*fds)
        requests.close()

    asyncio.run(scenario())


def test_the_descriptors_of_a_cancelled_request_are_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    async def scenario() -> None:
        ours, theirs = pair
        requests = Requests(asyncio.get_running_loop(), ours)
        before = len(os.listdir("/proc/self/fd"))
        cancelled, kept = requests.send({"number": 1}), requests.send({"number": 2})
        cancelled.cancel()
        await _serve(theirs, 2)
        answer, fds = await asyncio.wait_for(kept, DEADLINE_S)
        os.close(*fds)
        assert answer == {"number": 2}
        assert len(os.listdir("/proc/self/fd")) == before
        requests.close()

    asyncio.run(scenario())


def test_requests_to_a_process_that_has_ended_fail(pair: tuple[socket.socket, socket.socket]) -> None:
    async def scenario() -> None:
        ours, theirs = pair
        requests = Requests(asyncio.get_running_loop(), ours)
        waiting = requests.send({})
        theirs.close()
        with pytest.raises(ConnectionError, match="has ended"):
            await asyncio.wait_for(waiting, DEADLINE_S)
        with pytest.raises(ConnectionError, match="has ended"):
            await requests.send({})
        assert requests.is_closed

    asyncio.run(scenario())


def test_receiving_ignores_what_is_no_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.send(b"\xff\x00")
    assert receive_packet(ours) == (b"\xff\x00", [])
    with contextlib.suppress(BlockingIOError):
        receive_packet(ours)
        pytest.fail("there was nothing to receive")
