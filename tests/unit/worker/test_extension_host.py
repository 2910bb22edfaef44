"""Extensions of a sandbox whose processes a test plays, through the whole worker."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

import pytest
from tests.unit.worker.worker_world import DEADLINE_S, SPEC, FakeProvision, FakeRuntime, World, invocation, run

from lambdad.sandbox.interface import ExitStatus, StartError
from lambdad.sandbox.spec import SandboxSpec
from lambdad.testing.waiting import wait_until_async
from lambdad.worker import extension_host
from lambdad.worker.extension_host import ExtensionPlan

PLAN = ExtensionPlan(("log.sh",), {"A": "b"})


class Extension:
    """Calls of one extension, in threads so that the loop under test stays free."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.identifier = ""

    async def register(self, name: str, *events: str) -> int:
        status, headers, _ = await self.call(
            "POST", "register", {"events": list(events)}, {"Lambda-Extension-Name": name}
        )
        self.identifier = headers.get("lambda-extension-identifier", "")
        return status

    def next(self) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self.call("GET", "event/next"))  # noqa: TID251

    async def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        return await asyncio.get_running_loop().run_in_executor(None, self._call, method, path, body, headers)

    def _call(
        self, method: str, path: str, body: object, headers: dict[str, str] | None
    ) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            text = None if body is None else json.dumps(body)
            sent = {"Lambda-Extension-Identifier": self.identifier, **(headers or {})}
            connection.request(method, f"/2020-01-01/extension/{path}", text, sent)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return 0, {}, None
        finally:
            connection.close()


async def planned(world: World, plan: ExtensionPlan = PLAN) -> FakeRuntime:
    """An environment on its way whose sandbox has external extensions."""
    provision = world.provisioner.provision

    async def provide(*arguments: Any) -> FakeProvision:
        made = await provision(*arguments)
        made.extensions = plan
        made.sandbox_spec = SandboxSpec(**{**_fields(made.sandbox_spec), "held": True})
        return made

    world.provisioner.provision = provide  # type: ignore[method-assign]
    world.service.start(1, "e1", SPEC)
    return FakeRuntime(await world.launched.get())


def _fields(spec: SandboxSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in SandboxSpec.__slots__}


async def ready(world: World) -> tuple[FakeRuntime, Extension, asyncio.Future[Any]]:
    runtime = await planned(world)
    await wait_until_async(lambda: len(runtime.sandbox.programs) == 1, "the extension's process")
    extension = Extension(runtime.sandbox.port)
    assert await extension.register("log.sh", "INVOKE", "SHUTDOWN") == 200
    await wait_until_async(lambda: runtime.sandbox.proceeded, "the runtime")
    await runtime.start_next()
    waiting = extension.next()
    assert (await world.caller.next())[0] == "started"
    return runtime, extension, waiting


def test_the_runtime_starts_after_the_extensions_and_the_environment_is_busy_until_they_are_done() -> None:
    async def test(world: World) -> None:
        runtime, extension, waiting = await ready(world)
        program = runtime.sandbox.programs[0]
        assert (program.argv, program.environment) == (("/opt/extensions/log.sh",), {"A": "b"})
        world.service.invoke(2, "e1", invocation())
        assert await runtime.take() == "r1"
        assert (await waiting)[2]["eventType"] == "INVOKE"
        assert await runtime.post("invocation/r1/response") == 202
        result = await world.caller.next()
        assert (result[0], result[2].lingers) == ("result", True)
        await runtime.start_next()
        program.write(b"from the extension\n")
        waiting = extension.next()
        assert await world.caller.next() == ("free", "e1")
        runtime.sandbox.exited.set_result(ExitStatus(0, None))
        world.service.stop("e1")
        event = (await waiting)[2]
        assert (event["eventType"], event["shutdownReason"]) == ("SHUTDOWN", "spindown")
        program.exit(ExitStatus(0, None))
        await world.service.drained()
        lines = world.provisioner.records[0].lines
        assert "from the extension" in lines
        assert "EXTENSION\tName: log.sh\tState: Ready\tEvents: [INVOKE,SHUTDOWN]" in lines

    run(test)


def test_an_extension_that_ends_in_the_init_phase_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension_host, "EXTERNAL_BUDGET_S", 0.01)

    async def test(world: World) -> None:
        runtime = await planned(world)
        await wait_until_async(lambda: len(runtime.sandbox.programs) == 1, "the extension's process")
        runtime.sandbox.programs[0].exit(ExitStatus(3, None))
        event = await world.caller.next()
        assert (event[0], "init" in event[2]) == ("started", False)
        assert not runtime.sandbox.proceeded
        lines = world.provisioner.records[0].lines
        assert any("Status: error\tError Type: Extension.Crash" in line for line in lines)

    run(test)


def test_an_extension_that_cannot_be_executed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension_host, "EXTERNAL_BUDGET_S", 0.01)

    async def test(world: World) -> None:
        world.driver._on_launch = lambda sandbox: (  # type: ignore[assignment]
            setattr(sandbox, "spawn_error", StartError("PermissionDenied", "fork/exec /opt/extensions/log.sh: no")),
            world.launched.put_nowait(sandbox),
        )
        await planned(world)
        assert (await world.caller.next())[0] == "started"
        lines = world.provisioner.records[0].lines
        assert "EXTENSION\tName: log.sh\tState: LaunchError\tEvents: []\tError Type: PermissionDenied" in lines

    run(test)


def test_eleven_extensions_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension_host, "EXTERNAL_BUDGET_S", 0.01)

    async def test(world: World) -> None:
        runtime = await planned(world, ExtensionPlan(tuple(f"e{number}" for number in range(11))))
        assert (await world.caller.next())[0] == "started"
        assert runtime.sandbox.programs == []
        assert any("Error Type: TooManyExtensions" in line for line in world.provisioner.records[0].lines)

    run(test)


def test_an_internal_extension_is_waited_for_and_not_admitted_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension_host, "INTERNAL_BUDGET_S", 0.01)

    async def test(world: World) -> None:
        world.service.start(1, "e1", SPEC)
        runtime = FakeRuntime(await world.launched.get())
        inside = Extension(runtime.sandbox.port)
        assert await inside.register("inside", "INVOKE") == 200
        await runtime.start_next()
        waiting = inside.next()
        assert (await world.caller.next())[0] == "started"
        assert await Extension(runtime.sandbox.port).register("late", "INVOKE") == 403
        world.service.stop("e1")
        await world.service.drained()
        assert runtime.sandbox.signals[:1] == [15]
        waiting.cancel()

    run(test)
