"""Who is told what, and since when."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Coroutine
from typing import Any

from lambdad.telemetry.function_log import InitStart, InvokeStart
from lambdad.telemetry.hub import HISTORY_ITEMS, TelemetryHub
from lambdad.telemetry.subscription import Subscription

DEADLINE_S = 30.0
INIT = InitStart(function_name="f", version="1")


class Sink:
    """A TCP listener that keeps the records that it gets."""

    def __init__(self) -> None:
        self.records: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.port = 0

    async def open(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.records.put_nowait(json.loads(line))
        writer.close()

    def wants(self, *types: str, schema: str = "2022-12-13") -> Subscription:
        return Subscription(schema=schema, types=types, port=self.port, path=None, timeout=0.0)

    async def next(self) -> tuple[str, Any]:
        record = await self.records.get()
        return record["type"], record["record"]


async def _connect(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    return connection


def _run(test: Any, *, logs_json: bool = False) -> None:
    async def main() -> None:
        sink = Sink()
        server = await sink.open()
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:

            def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
                group.create_task(coroutine)

            hub = TelemetryHub(_connect, spawn, lambda: 0, logs_json=logs_json)
            await test(hub, sink)
            hub.close()
        server.close()

    asyncio.run(main())


def test_a_subscriber_hears_what_it_asked_for_since_the_init_phase_began() -> None:
    async def test(hub: TelemetryHub, sink: Sink) -> None:
        hub.publish(INIT, 0)
        hub.line("function", b"early", 0)
        hub.line("extension", b"not asked for", 0)
        told = hub.subscribe("a", sink.wants("platform", "function"))
        assert (told.name, told.state, told.types) == ("a", "Subscribed", ("platform", "function"))
        hub.publish(told, 0)
        hub.line("function", b"later\xff", 0)
        assert [(await sink.next())[0] for _ in range(3)] == [
            "platform.initStart",
            "function",
            "platform.telemetrySubscription",
        ]
        assert await sink.next() == ("function", "later\ufffd")

    _run(test)


def test_what_is_logged_as_json_is_delivered_as_an_object_where_the_schema_has_it() -> None:
    async def test(hub: TelemetryHub, sink: Sink) -> None:
        hub.subscribe("new", sink.wants("function"))
        hub.line("function", b'{"level":"INFO"}', 0)
        hub.line("function", b"{not json", 0)
        assert await sink.next() == ("function", {"level": "INFO"})
        assert await sink.next() == ("function", "{not json")
        hub.subscribe("new", sink.wants("function", schema="2022-07-01"))
        hub.line("function", b'{"level":"INFO"}', 0)
        assert await sink.next() == ("function", '{"level":"INFO"}')

    _run(test, logs_json=True)


def test_subscribing_again_does_not_deliver_twice() -> None:
    async def test(hub: TelemetryHub, sink: Sink) -> None:
        for _ in range(3):
            hub.subscribe("a", sink.wants("platform"))
        hub.publish(INIT, 0)
        hub.publish(InvokeStart(request_id="r", version="1"), 0)
        assert [(await sink.next())[0] for _ in range(2)] == ["platform.initStart", "platform.start"]

    _run(test)


def test_the_logs_api_has_its_own_words() -> None:
    async def test(hub: TelemetryHub, sink: Sink) -> None:
        hub.publish(hub.subscribe("a", sink.wants("platform", schema="2020-08-15")), 0)
        assert (await sink.next())[0] == "platform.logsSubscription"

    _run(test)


def test_the_history_of_the_init_phase_is_bounded_and_forgotten() -> None:
    async def test(hub: TelemetryHub, sink: Sink) -> None:
        for number in range(HISTORY_ITEMS + 10):
            hub.line("function", b"%d" % number, 0)
        hub.subscribe("a", sink.wants("function"))
        last = [(await sink.next())[1] for _ in range(HISTORY_ITEMS)][-1]
        assert last == str(HISTORY_ITEMS - 1)
        hub.end_init()
        hub.subscribe("b", sink.wants("function"))
        hub.line("function", b"end", 0)
        assert [(await sink.next())[1] for _ in range(2)] == ["end", "end"]

    _run(test)
