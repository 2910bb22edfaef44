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
from lambdad.sandbox.interface import SandboxError
from lambdad.telemetry.log import silent
from lambdad.worker.client import WorkerClient
from lambdad.worker.interface import SandboxGone, StartFailed, WorkerInfo, WorkerUnavailable
from lambdad.worker.server import WorkerConnection

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
