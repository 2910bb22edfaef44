"""A worker without a kernel: fake sandboxes, logs in memory, and a runtime that a test plays."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Coroutine
from typing import Any

from lambdad.model.environment import Code, EnvironmentSpec
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.sandbox.interface import Snapshot, Volume
from lambdad.sandbox.spec import Exec, SandboxSpec
from lambdad.telemetry.log import silent
from lambdad.testing.fake_sandbox import FakeDriver, FakeSandbox
from lambdad.testing.specs import make_spec
from lambdad.worker.environment_driver import FunctionLog
from lambdad.worker.extension_host import ExtensionPlan
from lambdad.worker.function_log import EnvironmentLog
from lambdad.worker.service import WorkerPolicy, WorkerService
from lambdad.worker.snapshot_init import InitLog

DEADLINE_S = 30.0
SPEC = make_spec(timeout_s=30)


def invocation(request_id: str = "r1", *, tail: bool = False, streaming: bool = False) -> Invocation:
    return Invocation(request_id=request_id, payload=b'{"n":1}', invoked_arn="arn", tail=tail, streaming=streaming)


class Records:
    """A log writer."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.closed = False

    def append(self, timestamp_ms: int, message: bytes) -> None:
        self.lines.append(message.decode())

    def close(self) -> None:
        self.closed = True


class FakeProvision:
    def __init__(self, spec: SandboxSpec, volume: Volume) -> None:
        self.sandbox_spec = spec
        self.volume = volume
        self.cpus = 0.25
        self.extensions = ExtensionPlan()
        self.released = False

    async def release(self) -> None:
        await self.volume.close()
        self.released = True


class FakeProvisioner:
    """error: raised by the next provision."""

    def __init__(self, driver: FakeDriver) -> None:
        self.driver = driver
        self.error: Exception | None = None
        self.provisions: list[FakeProvision] = []
        self.records: list[Records] = []
        self.prepared: list[tuple[str | None, tuple[Code, ...]]] = []
        self.forgotten: list[str] = []

    async def provision(self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float]) -> FakeProvision:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        timings["code"] = 0.5
        sandbox_spec = SandboxSpec(start=Exec(("/bin/true",)), memory_bytes=1, cpus=2.0, pids=1, files=1)
        self.provisions.append(FakeProvision(sandbox_spec, await self.driver.create_volume(spec.ephemeral_mb)))
        return self.provisions[-1]

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        self.prepared.append((runtime, code))
        return None if runtime != "missing" else "there is no such runtime"

    async def provision_restored(
        self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float], snapshot: Snapshot
    ) -> FakeProvision:
        return await self.provision(spec, log_stream, timings)

    async def forget(self, key: str) -> None:
        self.forgotten.append(key)

    def init_log(self, spec: EnvironmentSpec) -> InitLog:
        raise AssertionError("no function of these tests has SnapStart")

    def why_not_forked(self, spec: EnvironmentSpec) -> str:
        return "these tests make no snapshots"

    def function_log(self, spec: EnvironmentSpec) -> FunctionLog:
        self.records.append(Records())
        return EnvironmentLog(spec, "stream", self.records[-1], "python:3.11", lambda: 0)

    def flush_logs(self) -> None:
        pass


class Caller:
    """What a worker told its caller."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()

    def started(self, call: int, timings: dict[str, float]) -> None:
        self._note("started", call, dict(timings))

    def failed(self, call: int, code: str, message: str) -> None:
        self._note("failed", call, code, message)

    def result(self, call: int, result: InvocationResult) -> None:
        self._note("result", call, result)

    def stream_opened(self, call: int, content_type: str) -> None:
        self._note("opened", call, content_type)

    def stream_piece(self, call: int, piece: bytes) -> None:
        self._note("piece", call, piece)

    def prepared(self, call: int, problem: str | None) -> None:
        self._note("prepared", call, problem)

    def free(self, environment_id: str, extensions_ms: float) -> None:
        self._note("free", environment_id)

    def gone(self, environment_id: str) -> None:
        self._note("gone", environment_id)

    def _note(self, *event: Any) -> None:
        self.events.append(event)
        self._changed.set()

    async def next(self) -> tuple[Any, ...]:
        """The oldest event that was not taken yet."""
        while not self.events:
            self._changed.clear()
            await self._changed.wait()
        return self.events.pop(0)


class World:
    """A worker service with a caller attached."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], None], policy: WorkerPolicy) -> None:
        self.launched: asyncio.Queue[FakeSandbox] = asyncio.Queue()
        self.driver = FakeDriver(self.launched.put_nowait)
        self.provisioner = FakeProvisioner(self.driver)
        self.caller = Caller()
        self.memory_available = 1 << 40
        self.service = WorkerService(
            self.driver, self.provisioner, policy, spawn, silent(), lambda: self.memory_available
        )
        self.service.attach(self.caller)

    async def idle_environment(self, name: str = "e1", spec: EnvironmentSpec = SPEC) -> FakeRuntime:
        """Start an environment and bring its runtime to wait for work."""
        self.service.start(1, name, spec)
        runtime = FakeRuntime(await self.launched.get())
        await runtime.start_next()
        event = await self.caller.next()
        assert event[0] == "started", event
        return runtime


class FakeRuntime:
    """A runtime process, in threads so that the loop under test stays free."""

    def __init__(self, sandbox: FakeSandbox) -> None:
        self.sandbox = sandbox
        self._next: asyncio.Future[tuple[int, dict[str, str], bytes]] | None = None

    async def start_next(self) -> None:
        """Ask for work, and return while the question is on its way."""
        loop = asyncio.get_running_loop()
        self._next = loop.run_in_executor(None, self._call, "GET", "invocation/next", b"")
        await asyncio.sleep(0)

    async def take(self) -> str:
        """The id of the work that came."""
        assert self._next is not None
        status, headers, _ = await self._next
        assert status == 200
        return headers["lambda-runtime-aws-request-id"]

    async def post(self, path: str, body: bytes = b"null") -> int:
        loop = asyncio.get_running_loop()
        status, _, _ = await loop.run_in_executor(None, self._call, "POST", path, body)
        return status

    async def open_stream(self, request_id: str = "r1") -> asyncio.StreamWriter:
        """Begin a streamed response; the test writes its chunks."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.sandbox.port)
        head = f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\nContent-Type: text/x\r\n"
        mode = "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write((head + mode).encode())
        return writer

    def _call(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.sandbox.port, timeout=DEADLINE_S)
        try:
            connection.request(method, f"/2018-06-01/runtime/{path}", body)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, b""
        finally:
            connection.close()


def run(test: Callable[[World], Coroutine[Any, Any, None]], **policy: float) -> None:
    """Run a test against a worker, which must be empty at the end."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            chosen = WorkerPolicy(
                **{"keep_alive": 600.0, "freeze_after": 600.0, "memory_reserve": 0, **policy}  # type: ignore[arg-type]
            )
            world = World(lambda coroutine: _spawn(group, coroutine), chosen)
            await test(world)
            world.service.stop_all()
            await world.service.drained()
        assert all(sandbox.destroyed for sandbox in world.driver.sandboxes)
        assert all(volume.closed for volume in world.driver.volumes)
        assert all(records.closed for records in world.provisioner.records)

    asyncio.run(main())


def _spawn(group: asyncio.TaskGroup, coroutine: Coroutine[Any, Any, None]) -> None:
    group.create_task(coroutine)


def payload_of(event: tuple[Any, ...]) -> Any:
    return json.loads(event[2].payload)
