"""The init phase of a snapshot: how each of its ends is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lambdad.model.environment import SnapshotFailure
from lambdad.sandbox.interface import ExitStatus
from lambdad.sandbox.spec import Exec, SandboxSpec
from lambdad.testing.fake_sandbox import FakeDriver, FakeSandbox, FakeSnapshot
from lambdad.worker.output import OutputReader
from lambdad.worker.snapshot_init import CANNOT_FORK, run_init

DEADLINE_S = 30.0
SPEC = SandboxSpec(start=Exec(("x",)), memory_bytes=1, cpus=1.0, pids=1, files=1)


class Log:
    """Implements `InitLog`."""

    stream = "stream"

    def __init__(self) -> None:
        self.ends: list[tuple[str, str, str]] = []
        self.text = b""
        self.closed = False

    def init_start(self, phase: str) -> None: ...

    def init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        self.ends.append((phase, status, error_type))

    def output(self, data: bytes) -> None:
        self.text += data

    def close(self) -> None:
        self.closed = True


Act = Callable[[FakeSandbox, FakeSnapshot], Awaitable[None]]


def run(act: Act, timeout_s: float = DEADLINE_S) -> tuple[SnapshotFailure | None, Log]:
    async def scenario() -> tuple[SnapshotFailure | None, Log]:
        driver = FakeDriver()
        snapshot = await driver.launch_snapshot("one", SPEC, await driver.create_volume(512))
        assert isinstance(snapshot, FakeSnapshot)
        log, sandbox = Log(), driver.sandboxes[0]
        output = OutputReader(asyncio.get_running_loop(), sandbox.output, log.output)
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(run_init(snapshot, log, output, timeout_s))
            await act(sandbox, snapshot)
            failure = await running
        output.stop()
        await driver.close()
        return failure, log

    return asyncio.run(scenario())


async def _post(sandbox: FakeSandbox, path: str, method: str = "POST") -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    head = f"{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    writer.write(f"{head}Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError\r\n\r\n".encode())
    await writer.drain()
    await reader.read(1)
    writer.close()


def test_a_process_that_waits_to_be_forked_is_a_snapshot() -> None:
    async def act(sandbox: FakeSandbox, snapshot: FakeSnapshot) -> None:
        sandbox.write(b"hello\n")
        snapshot.captured.set_result(None)

    failure, log = run(act)
    assert failure is None
    assert log.ends == [("init", "success", "")]
    assert log.text == b"hello\n"


def test_an_init_error_names_its_type() -> None:
    failure, log = run(lambda sandbox, _: _post(sandbox, "init/error"))
    assert failure is not None
    assert failure.code == "FunctionError.RuntimeInitError"
    assert "Runtime.ImportModuleError" in failure.reason
    assert log.ends == [("init", "error", "Runtime.ImportModuleError")]


@pytest.mark.parametrize(
    ("status", "oom_kills", "code", "error_type"),
    [
        (ExitStatus(3, None), 0, "FunctionError.RuntimeInitError", "Runtime.ExitError"),
        (ExitStatus(None, 9), 1, "FunctionError.InitResourceExhausted", "Runtime.OutOfMemory"),
        (ExitStatus(None, 9), 0, "FunctionError.RuntimeInitError", "Runtime.ExitError"),
    ],
)
def test_an_early_end_is_an_error(status: ExitStatus, oom_kills: int, code: str, error_type: str) -> None:
    async def act(sandbox: FakeSandbox, snapshot: FakeSnapshot) -> None:
        sandbox.exit(status, oom_kills=oom_kills)

    failure, log = run(act)
    assert failure is not None
    assert failure.code == code
    assert log.ends == [("init", "error", error_type)]


def test_an_init_phase_that_does_not_end_is_told_so() -> None:
    async def act(sandbox: FakeSandbox, snapshot: FakeSnapshot) -> None: ...

    failure, log = run(act, timeout_s=0.01)
    assert failure is not None
    assert failure.code == "FunctionError.InitTimeout"
    assert log.ends == [("init", "timeout", "")]


def test_a_runtime_that_asks_for_an_invocation_cannot_be_forked() -> None:
    async def act(sandbox: FakeSandbox, snapshot: FakeSnapshot) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read()
        writer.close()

    failure, _ = run(act)
    assert failure is not None
    assert failure.reason == CANNOT_FORK
