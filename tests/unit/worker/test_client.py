"""A worker and its client over a real unix socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.unit.worker.worker_world import SPEC, FakeRuntime, World, invocation, run

from lambdad.model.environment import Code
from lambdad.model.invocation import InvocationResult
from lambdad.model.limits import MEGABYTE
from lambdad.sandbox.interface import SandboxError
from lambdad.telemetry.log import silent
from lambdad.testing.waiting import wait_until_async
from lambdad.worker.client import WorkerClient
from lambdad.worker.interface import Credit, SandboxGone, StartFailed, WorkerInfo, WorkerUnavailable
from lambdad.worker.server import WorkerConnection
from lambdad.worker.stream import WINDOW

INFO = WorkerInfo(("python3.11",), ("no walls",), 1)


def connected(
    tmp_path: Path, test: Callable[[World, WorkerClient], Coroutine[Any, Any, None]], uids: frozenset[int] | None = None
) -> None:
    """Run a test with a client that is connected to the worker of a world."""

    async def body(world: World) -> None:
        path = str(tmp_path / "worker.sock")
        allowed = frozenset({os.geteuid()}) if uids is None else uids
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: WorkerConnection(world.service, INFO, allowed, silent()), path
        )
        client = WorkerClient()
        told: asyncio.Future[WorkerInfo] = asyncio.get_running_loop().create_future()
        client.on_connected = told.set_result
        client.on_lost = lambda: told.cancel()
        await client.connect(path)
        if uids is None:
            assert (await told).runtimes == ("python3.11",)
        await test(world, client)
        client.close()
        server.close()

    run(body)


def test_starting_invoking_and_stopping_go_over_the_socket(tmp_path: Path) -> None:
    async def test(world: World, client: WorkerClient) -> None:
        starting = asyncio.get_running_loop().create_task(client.start("e1", SPEC))
        runtime = FakeRuntime(await world.launched.get())
        await runtime.start_next()
        assert set((await starting).timings) == {"code", "sandbox", "init"}
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        client.invoke("e1", invocation(), answered.set_result)
        assert await runtime.take() == "r1"
        await runtime.post("invocation/r1/response", b'"over the wire"')
        result = await answered
        assert isinstance(result, InvocationResult)
        assert result.payload == b'"over the wire"'
        client.stop("e1")
        while world.service.counts():
            await asyncio.sleep(0)

    connected(tmp_path, test)


def test_failures_arrive_as_exceptions(tmp_path: Path) -> None:
    async def test(world: World, client: WorkerClient) -> None:
        world.driver.failures.append(SandboxError("no room"))
        with pytest.raises(StartFailed, match="no room") as caught:
            await client.start("e1", SPEC)
        assert caught.value.code == "ServiceException"
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        client.invoke("e1", invocation(), answered.set_result)
        assert isinstance(await answered, SandboxGone)

    connected(tmp_path, test)


def test_preparing_carries_the_code_and_the_reason(tmp_path: Path) -> None:
    async def test(world: World, client: WorkerClient) -> None:
        code = (Code(sha256="ab", size=1),)
        assert await client.prepare("python3.11", code) is None
        assert world.provisioner.prepared == [("python3.11", code)]
        assert await client.prepare("missing", ()) == "there is no such runtime"

    connected(tmp_path, test)


def test_a_worker_that_goes_away_fails_every_open_call(tmp_path: Path) -> None:
    async def test(world: World, client: WorkerClient) -> None:
        starting = asyncio.get_running_loop().create_task(client.start("e1", SPEC))
        await world.launched.get()
        lost = asyncio.Event()
        client.on_lost = lost.set
        client.close()
        await lost.wait()
        with pytest.raises(WorkerUnavailable):
            await starting
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        client.invoke("e1", invocation(), answered.set_result)
        assert isinstance(await answered, WorkerUnavailable)
        with pytest.raises(WorkerUnavailable):
            await client.prepare(None, ())

    connected(tmp_path, test)


def test_a_user_who_may_not_call_is_cut_off(tmp_path: Path) -> None:
    async def test(world: World, client: WorkerClient) -> None:
        while client.is_connected:
            await asyncio.sleep(0)

    connected(tmp_path, test, uids=frozenset({4_000_000}))


class Sink:
    """Takes a stream, and gives credit when the test says so."""

    def __init__(self) -> None:
        self.content_type = ""
        self.pieces: list[bytes] = []
        self.credit: Credit = lambda size: None

    def opened(self, content_type: str, credit: Credit) -> None:
        self.content_type = content_type
        self.credit = credit

    def piece(self, data: bytes) -> None:
        self.pieces.append(data)

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


async def open_stream(world: World, client: WorkerClient) -> tuple[Sink, asyncio.Future[Any], asyncio.StreamWriter]:
    starting = asyncio.get_running_loop().create_task(client.start("e1", SPEC))
    runtime = FakeRuntime(await world.launched.get())
    await runtime.start_next()
    await starting
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    sink = Sink()
    client.invoke("e1", invocation(streaming=True), answered.set_result, sink)
    await runtime.take()
    return sink, answered, await runtime.open_stream()


def test_a_streamed_response_goes_over_the_socket_piece_by_piece(tmp_path: Path) -> None:
    async def test(world: World, client: WorkerClient) -> None:
        sink, answered, function = await open_stream(world, client)
        function.write(b"2\r\nab\r\n")
        await wait_until_async(lambda: sink.pieces == [b"ab"], "the first piece")
        assert (sink.content_type, answered.done()) == ("text/x", False)
        function.write(b"1\r\nc\r\n0\r\n\r\n")
        result = await answered
        assert (sink.pieces, result.payload, result.error) == ([b"ab", b"c"], b"", None)
        sink.credit(3)  # too late for anybody, and harmless
        function.close()

    connected(tmp_path, test)


def test_a_function_without_credit_is_held_back(tmp_path: Path) -> None:
    blocks = 32

    async def test(world: World, client: WorkerClient) -> None:
        sink, answered, function = await open_stream(world, client)
        block = b"%x\r\n%b\r\n" % (MEGABYTE, bytes(MEGABYTE))
        function.write(block * blocks + b"0\r\n\r\n")
        await wait_until_async(lambda: sink.size >= WINDOW, "a full window")
        before = sink.size
        for _ in range(100):  # as often as the loop turns: nothing more comes
            await asyncio.sleep(0)
        assert sink.size == before < WINDOW + MEGABYTE
        credited = 0

        def credit_what_came() -> bool:
            nonlocal credited
            if sink.size > credited:
                sink.credit(sink.size - credited)
                credited = sink.size
            return answered.done()

        await wait_until_async(credit_what_came, "the end of the stream")
        assert sink.size == blocks * MEGABYTE
        assert answered.result().error is None
        function.close()

    connected(tmp_path, test)


def test_a_worker_that_goes_away_fails_the_stream(tmp_path: Path) -> None:
    async def test(world: World, client: WorkerClient) -> None:
        sink, answered, function = await open_stream(world, client)
        function.write(b"2\r\nab\r\n")
        await wait_until_async(lambda: sink.pieces == [b"ab"], "the first piece")
        client.close()
        assert isinstance(await answered, WorkerUnavailable)
        sink.credit(2)
        function.close()

    connected(tmp_path, test)
