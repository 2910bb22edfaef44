"""Telemetry on its way to a listener that a test plays."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from lambdad.telemetry import delivery as module
from lambdad.telemetry.delivery import Delivery
from lambdad.telemetry.subscription import Subscription

DEADLINE_S = 30.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


class Listener:
    """A subscriber's HTTP or TCP listener. answers: what each request gets; None hangs up; the last one stays."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers) or [OK]
        self.bodies: asyncio.Queue[bytes] = asyncio.Queue()
        self.heads: list[bytes] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(size)
                answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
                self.heads.append(head)
                self.bodies.put_nowait(body)
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def connect(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


def subscription(port: int, path: str | None = "/logs", timeout: float = 0.0) -> Subscription:
    return Subscription(
        schema="2022-07-01", types=("platform",), port=port, path=path, max_items=2, max_bytes=1000, timeout=timeout
    )


def told(records: int, size: int) -> bytes:
    return b'{"dropped":%d}' % records


def run(test: Callable[[Listener], Awaitable[None]], *answers: bytes | None) -> None:
    async def main() -> None:
        listener = Listener(*answers)
        await listener.open()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await test(listener)
        finally:
            await listener.close()

    asyncio.run(main())


def test_batches_are_posted_over_one_connection() -> None:
    async def test(listener: Listener) -> None:
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(listener.port), connect, told)
            group.create_task(delivery.run())
            for number in range(4):
                delivery.add(b"%d" % number)
            assert [await listener.bodies.get(), await listener.bodies.get()] == [b"[0,1]", b"[2,3]"]
            delivery.close()
        assert listener.connections == 1
        assert listener.heads[0].startswith(b"POST /logs HTTP/1.1\r\nHost: sandbox.localdomain:")

    run(test)


def test_a_listener_that_comes_late_or_fails_gets_the_batch_again() -> None:
    async def test(listener: Listener) -> None:
        await listener.close()
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(listener.port), connect, told)
            group.create_task(delivery.run())
            delivery.add(b"1")
            await asyncio.sleep(0)
            await listener.open()
            assert [await listener.bodies.get() for _ in range(4)] == [b"[1]"] * 4
            delivery.close()

    run(test, None, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b"nonsense\r\n\r\n", OK)


def test_what_a_listener_never_takes_is_told_to_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAYS_S", (0.0,))

    async def test(listener: Listener) -> None:
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(listener.port), connect, told)
            group.create_task(delivery.run())
            delivery.add(b"1")
            assert [await listener.bodies.get() for _ in range(2)] == [b"[1]"] * 2
            assert await listener.bodies.get() == b'[{"dropped":1}]'
            delivery.close()

    run(test, None, None, OK)


def test_a_listener_that_stalls_holds_up_nobody_and_loses_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(listener: Listener) -> None:
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(listener.port), connect, told)
            group.create_task(delivery.run())
            delivery.add(b"1")
            await listener.bodies.get()
            for number in range(1000):
                delivery.add(b"%d" % number)
            listener.answers = [OK]
            monkeypatch.setattr(module, "ATTEMPT_S", 30.0)
            delivery.pause()
            delivery.resume()
            delivery.close()

    run(test, b"HTTP/1.1 200 OK\r\n")


def test_nothing_is_sent_while_the_sandbox_is_frozen() -> None:
    async def test(listener: Listener) -> None:
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(listener.port, timeout=0.001), connect, told)
            delivery.pause()
            group.create_task(delivery.run())
            delivery.add(b"1")
            for _ in range(20):
                await asyncio.sleep(0)
            assert listener.bodies.empty()
            delivery.resume()
            assert await listener.bodies.get() == b"[1]"
            delivery.close()

    run(test)


def test_flushing_sends_a_batch_before_its_time() -> None:
    async def test(listener: Listener) -> None:
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(listener.port, timeout=10_000), connect, told)
            group.create_task(delivery.run())
            delivery.add(b"1")
            delivery.flush()
            assert await listener.bodies.get() == b"[1]"
            delivery.close()

    run(test)


def test_tcp_gets_a_line_for_each_record() -> None:
    async def test(listener: Listener) -> None:
        lines: asyncio.Queue[bytes] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                lines.put_nowait(line)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(port, path=None), connect, told)
            group.create_task(delivery.run())
            delivery.add(b"1")
            delivery.add(b"2")
            assert [await lines.get(), await lines.get()] == [b"1\n", b"2\n"]
            delivery.close()
        server.close()

    run(test)


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAYS_S", ())

    async def test(listener: Listener) -> None:
        async with asyncio.TaskGroup() as group:
            delivery = Delivery(subscription(listener.port), connect, told)
            group.create_task(delivery.run())
            delivery.add(b"1")
            await listener.bodies.get()
            listener.answers = [OK]
            assert await listener.bodies.get() == b'[{"dropped":1}]'
            delivery.close()
        assert listener.connections == 2

    run(test, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
