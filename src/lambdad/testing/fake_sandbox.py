"""A sandbox driver without walls: a listener on the loopback interface, a pipe, and a test that plays the runtime."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from lambdad.sandbox.interface import ExitStatus, Sandbox, SandboxError, Snapshot, Usage, Volume
from lambdad.sandbox.spec import SandboxSpec, ZygoteSpec


class FakeVolume:
    """Remembers that it was closed."""

    def __init__(self, size_mb: int) -> None:
        self.size_mb = size_mb
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class FakeProgram:
    """Implements `Program`. `write` and `exit` are what happens inside."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.argv = tuple(argv)
        self.environment = dict(environment)
        self.output, self._inside = os.pipe()
        os.set_blocking(self.output, False)
        self.exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        os.write(self._inside, data)

    def exit(self, status: ExitStatus) -> None:
        if not self.exited.done():
            self.exited.set_result(status)

    def close(self) -> None:
        os.close(self.output)
        os.close(self._inside)
        self.exit(ExitStatus(None, 9))


class FakeSandbox:
    """Implements `Sandbox`. `write` and `exit` are what happens inside."""

    def __init__(self, sandbox_id: str, spec: SandboxSpec) -> None:
        self.id = sandbox_id
        self.spec = spec
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.output, self._inside = os.pipe()
        os.set_blocking(self.output, False)
        self.exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self.frozen = False
        self.destroyed = False
        self.signals: list[int] = []
        self.programs: list[FakeProgram] = []
        self.proceeded = False
        self.spawn_error: SandboxError | None = None
        self.cpus = spec.cpus
        self.used = Usage(memory_peak=30 * 1024 * 1024, memory_current=20 * 1024 * 1024, cpu=0, oom_kills=0)

    def write(self, data: bytes) -> None:
        os.write(self._inside, data)

    def exit(self, status: ExitStatus, *, oom_kills: int = 0) -> None:
        self.used = Usage(self.used.memory_peak, self.used.memory_current, self.used.cpu, oom_kills)
        if not self.exited.done():
            self.exited.set_result(status)

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False

    def limit_cpu(self, cpus: float) -> None:
        self.cpus = cpus

    def signal(self, number: int) -> None:
        self.signals.append(number)

    async def proceed(self) -> None:
        self.proceeded = True

    async def spawn(self, argv: Sequence[str], environment: Mapping[str, str]) -> FakeProgram:
        await asyncio.sleep(0)
        if self.spawn_error is not None:
            raise self.spawn_error
        self.programs.append(FakeProgram(argv, environment))
        return self.programs[-1]

    async def open_socket(self) -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        return connection

    def usage(self) -> Usage:
        return self.used

    def reset_peak(self) -> None:
        pass

    async def destroy(self) -> None:
        if not self.destroyed:
            self.destroyed = True
            self.listener.close()
            os.close(self.output)
            os.close(self._inside)
            for program in self.programs:
                program.close()
            self.exit(ExitStatus(None, 9))


class FakeSnapshot:
    """Implements `Snapshot`; the test resolves `captured`."""

    def __init__(self, name: str, sandbox: Sandbox, driver: FakeDriver) -> None:
        self.name = name
        self.sandbox = sandbox
        self.captured: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sealed = False
        self.rests = 0
        self.ended = False
        self._driver = driver

    @property
    def is_usable(self) -> bool:
        return self.captured.done() and not self.ended and not self.sandbox.exited.done()

    async def seal(self) -> None:
        self.sealed = True

    async def create_volume(self) -> FakeVolume:
        return await self._driver.create_volume(512)

    def rest(self) -> None:
        self.rests += 1

    async def destroy(self) -> None:
        self.ended = True
        self._driver.snapshots.pop(self.name, None)
        await self.sandbox.destroy()


class FakeDriver:
    """Implements `SandboxDriver`.

    failures: errors of the next launches, used up one by one. on_launch: called with each new sandbox.
    """

    def __init__(self, on_launch: Callable[[FakeSandbox], None] | None = None) -> None:
        self.weaknesses: tuple[str, ...] = ("There are no walls.",)
        self.why_no_snapshots = ""
        self.snapshots: dict[str, FakeSnapshot] = {}
        self.sandboxes: list[FakeSandbox] = []
        self.volumes: list[FakeVolume] = []
        self.zygotes: dict[str, ZygoteSpec] = {}
        self.failures: list[SandboxError] = []
        self._on_launch = on_launch

    async def open(self) -> None:
        pass

    async def add_zygote(self, spec: ZygoteSpec) -> None:
        self.zygotes[spec.name] = spec

    async def create_volume(self, size_mb: int) -> FakeVolume:
        self.volumes.append(FakeVolume(size_mb))
        return self.volumes[-1]

    async def launch(self, sandbox_id: str, spec: SandboxSpec, volume: Volume) -> Sandbox:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        sandbox = FakeSandbox(sandbox_id, spec)
        self.sandboxes.append(sandbox)
        if self._on_launch is not None:
            self._on_launch(sandbox)
        return sandbox

    async def launch_snapshot(self, name: str, spec: SandboxSpec, volume: Volume) -> Snapshot:
        self.snapshots[name] = FakeSnapshot(name, await self.launch(name, spec, volume), self)
        return self.snapshots[name]

    async def close(self) -> None:
        for sandbox in self.sandboxes:
            await sandbox.destroy()
