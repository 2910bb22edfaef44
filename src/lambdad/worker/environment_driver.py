"""The driver of one `Environment`: its effects on sandboxes, logs and timers; their events back to it.

An environment may go through several runtime processes, one generation after the other, each in a sandbox of its own
with the same /tmp. Events carry their generation: what a sandbox says after it was given up is not heard.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from lambdad.model.environment import EnvironmentSpec
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.runtime_api.server import LIMITS, MODE_HEADER, RuntimeApi
from lambdad.sandbox.interface import Sandbox, SandboxDriver, SandboxError, StartError, Volume
from lambdad.sandbox.spec import SandboxSpec
from lambdad.telemetry.log import Logger
from lambdad.wire.http import BodyFlow
from lambdad.wire.server import HttpServer
from lambdad.worker.environment import Environment, Phase
from lambdad.worker.faults import Fault
from lambdad.worker.stream import StreamWindow

OUTPUT_READ = 65_536
OUTPUT_WINDOW = 1024 * 1024
"""Bytes of output that are read from a sandbox between two ticks of the host; more waits in the sandbox's pipe."""
MEMORY_SAMPLE_S = 0.25
"""The peak memory in REPORT may be this old: reading it costs more than the rest of a warm invocation's log."""

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class FunctionLog(Protocol):
    """The log of one environment. stream: its name, as AWS forms it."""

    stream: str

    def init_start(self) -> None: ...
    def init_report(self, phase: str, duration_ms: float, status: str, error_type: str) -> None: ...
    def start(self, invocation: Invocation) -> None: ...
    def report(
        self, invocation: Invocation, duration_ms: float, init_ms: float | None, fault: Fault | None, memory_mb: int
    ) -> None: ...
    def output(self, data: bytes) -> None:
        """What the function wrote, in pieces as they came."""
        ...

    def tail(self) -> bytes:
        """The end of the log since `start`."""
        ...

    def close(self) -> None: ...


class Provision(Protocol):
    """Everything that a sandbox of one spec is made of, held until `release`.

    sandbox_spec: with the CPU share of the init phase. cpus: the share after it.
    """

    sandbox_spec: SandboxSpec
    cpus: float
    volume: Volume

    async def release(self) -> None: ...


class Host(Protocol):
    """What an environment needs of the worker that it lives in."""

    loop: asyncio.AbstractEventLoop
    driver: SandboxDriver
    spawn: Spawn
    log: Logger

    async def provision(self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float]) -> Provision:
        """Fetch code, make /tmp, plan the sandbox. Raises `SandboxError` or `ProvisionError`."""
        ...

    def announce(self, environment: EnvironmentDriver, timings: dict[str, float]) -> None: ...
    def refuse(self, environment: EnvironmentDriver, code: str, message: str) -> None: ...
    def reply(self, environment: EnvironmentDriver, result: InvocationResult) -> None: ...
    def stream_opened(self, environment: EnvironmentDriver, content_type: str) -> None: ...
    def stream_piece(self, environment: EnvironmentDriver, piece: bytes) -> None: ...
    def became_idle(self, environment: EnvironmentDriver) -> None: ...
    def forget(self, environment: EnvironmentDriver) -> None: ...


class ProvisionError(Exception):
    """A sandbox cannot be planned. code: AWS's exception name for the caller."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EnvironmentDriver:
    """One execution environment of this host. `call` is the caller's number of what is in progress."""

    def __init__(self, environment_id: str, spec: EnvironmentSpec, log: FunctionLog, host: Host) -> None:
        self.id = environment_id
        self.spec = spec
        self.call = 0
        self.uses = 0
        self.idle_since = 0.0
        self.frozen = False
        self.start_ms = 0.0
        self.clock = 0.0
        """Inflation clock of eviction when it was used last."""
        self._host = host
        self._loop = host.loop
        self._log = log
        self._machine = Environment(spec.timeout_s, self)
        self._generation = 0
        self._provision: Provision | None = None
        self._sandbox: Sandbox | None = None
        self._api: RuntimeApi | None = None
        self._server: HttpServer | None = None
        self._window: StreamWindow | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._dying: set[asyncio.Future[None]] = set()
        self._timings: dict[str, float] = {}
        self._output_budget = OUTPUT_WINDOW
        self._reading = False
        self._memory_peak = 0
        self._memory_read_at = float("-inf")

    # -- asked by the host

    @property
    def phase(self) -> Phase:
        return self._machine.phase

    @property
    def is_available(self) -> bool:
        return self._machine.is_available

    def start(self) -> None:
        self._machine.start(time.monotonic())

    def invoke(self, invocation: Invocation) -> None:
        self.uses += 1
        self._thaw()
        self._machine.invoke(time.monotonic(), invocation)

    def stop(self) -> None:
        self._thaw()
        self._machine.stop(time.monotonic())

    def credit(self, size: int) -> None:
        """Bytes of the streamed response have gone on to the caller."""
        if self._window is not None:
            self._window.credited(size)

    def freeze(self) -> None:
        """Give no CPU to an idle sandbox until it is needed."""
        if self._sandbox is not None and self._machine.phase is Phase.IDLE and not self.frozen:
            self._sandbox.freeze()
            self.frozen = True

    def tick(self) -> None:
        """Let output flow again, and drop connections inside that dawdle. Called a few times a second."""
        self._output_budget = OUTPUT_WINDOW
        if self._sandbox is not None and not self._reading and not self.frozen:
            self._start_reading()
        if self._server is not None:
            self._server.sweep()

    def memory_current(self) -> int:
        """Bytes in use now."""
        return 0 if self._sandbox is None else self._sandbox.usage().memory_current

    def _thaw(self) -> None:
        if self.frozen and self._sandbox is not None:
            self._sandbox.thaw()
        self.frozen = False

    # -- effects of the machine

    def launch(self) -> None:
        self._generation += 1
        if self._generation == 1:
            self._log.init_start()
        self._host.spawn(self._launch(self._generation))

    async def _launch(self, generation: int) -> None:
        sandbox: Sandbox | None = None
        try:
            if self._provision is None:
                self._provision = await self._host.provision(self.spec, self._log.stream, self._timings)
            if self._dying:
                await asyncio.wait(set(self._dying))
            before = time.monotonic()
            sandbox = await self._host.driver.launch(
                f"{self.id}-{generation}", self._provision.sandbox_spec, self._provision.volume
            )
            self._timings["sandbox"] = (time.monotonic() - before) * 1000
        except StartError as error:
            if generation == self._generation:
                self._machine.launch_failed(time.monotonic(), error.kind, str(error))
            return
        except (SandboxError, ProvisionError, OSError) as error:
            self._host.log.error("sandbox.failed", environment=self.id, function=self.spec.arn, error=str(error))
            if generation == self._generation:
                code = error.code if isinstance(error, ProvisionError) else "ServiceException"
                self._machine.launch_refused(time.monotonic(), code, str(error))
            return
        finally:
            if sandbox is None and self.phase is Phase.GONE:
                await self._release()
        if generation != self._generation:
            await self._destroy(sandbox)
            if self.phase is Phase.GONE:
                await self._release()
            return
        await self._attach(generation, sandbox)

    async def _attach(self, generation: int, sandbox: Sandbox) -> None:
        """Serve the Runtime API of a sandbox that has just started, and hear its output and its end."""
        self._sandbox = sandbox
        self._api = RuntimeApi(_Events(self, generation))
        self._server = server = HttpServer(self._api.handle, LIMITS, self._loop, self._api.open_body, MODE_HEADER)
        self._start_reading()
        self._machine.launched(time.monotonic())
        await server.listen(sandbox.listener)
        if generation != self._generation:
            server.abort()
            return
        sandbox.exited.add_done_callback(lambda future: self._exited(generation))

    def kill(self) -> None:
        self._generation += 1
        sandbox, self._sandbox = self._sandbox, None
        self._api = None
        if self._server is not None:
            self._server.abort()
            self._server = None
        if sandbox is None:
            return
        self._drain(sandbox)
        if self._reading:
            self._loop.remove_reader(sandbox.output)
            self._reading = False
        self.frozen = False
        done: asyncio.Future[None] = self._loop.create_future()
        self._dying.add(done)
        self._host.spawn(self._bury(sandbox, done))

    async def _bury(self, sandbox: Sandbox, done: asyncio.Future[None]) -> None:
        try:
            await self._destroy(sandbox)
        finally:
            self._dying.discard(done)
            done.set_result(None)

    async def _destroy(self, sandbox: Sandbox) -> None:
        try:
            await sandbox.destroy()
        except (SandboxError, OSError) as error:
            self._host.log.error("sandbox.leaked", environment=self.id, error=str(error))

    def announce(self, init_ms: float | None) -> None:
        if init_ms is not None:
            self._timings["init"] = init_ms
        if self._sandbox is not None:
            self._sample_memory(self._sandbox)
        self.start_ms = sum(self._timings.values())
        self._became_idle()
        self._host.announce(self, self._timings)

    def refuse(self, code: str, message: str) -> None:
        self._host.refuse(self, code, message)

    def deliver(self, invocation: Invocation, remaining_s: float) -> None:
        assert self._api is not None
        self._api.deliver(invocation, int((time.time() + remaining_s) * 1000))

    def has_taken(self) -> bool:
        return self._api is not None and self._api.delivered

    def reply(self, request_id: str, result: InvocationResult) -> None:
        self._became_idle()
        self._host.reply(self, result)

    def open_stream(self, content_type: str) -> None:
        self._host.stream_opened(self, content_type)

    def send_piece(self, piece: bytes) -> None:
        assert self._window is not None
        self._host.stream_piece(self, piece)
        self._window.sent(len(piece))

    def _became_idle(self) -> None:
        self.idle_since = time.monotonic()
        self._host.became_idle(self)

    def set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._time_is_up)

    def clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        self._machine.timer(time.monotonic())

    def log_start(self, invocation: Invocation) -> None:
        self._log.start(invocation)

    def log_report(
        self, invocation: Invocation, duration_ms: float, init_ms: float | None, fault: Fault | None
    ) -> None:
        if self._sandbox is not None:
            self._drain(self._sandbox)
            self._sample_memory(self._sandbox)
        self._log.report(invocation, duration_ms, init_ms, fault, self.memory_used_mb())

    def log_init_report(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        if self._sandbox is not None:
            self._drain(self._sandbox)
        self._log.init_report(phase, duration_ms, status, error_type)

    def log_tail(self) -> bytes:
        return self._log.tail()

    def memory_used_mb(self) -> int:
        return -(-self._memory_peak // (1024 * 1024))

    def gone(self) -> None:
        self._host.forget(self)
        self._host.spawn(self._release())

    async def _release(self) -> None:
        """Give back what the sandboxes were made of, once none of them is left."""
        while self._dying:
            await asyncio.wait(set(self._dying))
        provision, self._provision = self._provision, None
        if provision is not None:
            await provision.release()
        self._log.close()

    # -- events of the sandbox

    def hears(self, generation: int) -> bool:
        """Whether events of this generation still count."""
        return generation == self._generation

    def _exited(self, generation: int) -> None:
        if generation != self._generation or self._sandbox is None:
            return
        sandbox = self._sandbox
        status = sandbox.exited.result()
        usage = sandbox.usage()
        self._memory_peak = max(self._memory_peak, usage.memory_peak)
        self._machine.exited(
            time.monotonic(),
            clean=status.code == 0,
            description=status.describe(),
            out_of_memory=status.signal == 9 and usage.oom_kills > 0,
        )

    def runtime_ready(self) -> None:
        assert self._sandbox is not None
        assert self._provision is not None
        self._sandbox.limit_cpu(self._provision.cpus)
        self._machine.ready(time.monotonic())

    def runtime_init_failed(self, payload: bytes, error_type: str) -> None:
        self._machine.init_failed(time.monotonic(), payload, error_type)

    def runtime_responded(self, payload: bytes) -> None:
        self._machine.responded(time.monotonic(), payload)

    def runtime_errored(self, payload: bytes, error_type: str) -> None:
        self._machine.errored(time.monotonic(), payload, error_type)

    def runtime_response_too_large(self) -> None:
        self._machine.response_too_large(time.monotonic())

    def runtime_stream_opened(self, content_type: str, flow: BodyFlow) -> None:
        self._window = StreamWindow(flow)
        self._machine.stream_opened(time.monotonic(), content_type)

    def runtime_stream_data(self, piece: bytes) -> None:
        self._machine.stream_data(time.monotonic(), piece)

    def runtime_stream_ended(self) -> None:
        self._window = None
        self._machine.stream_ended(time.monotonic())

    def runtime_stream_failed(self, payload: bytes, error_type: str) -> None:
        self._window = None
        self._machine.stream_failed(time.monotonic(), payload, error_type)

    def runtime_stream_cut(self) -> None:
        self._window = None
        self._machine.stream_cut(time.monotonic())

    # -- output and memory

    def _start_reading(self) -> None:
        assert self._sandbox is not None
        self._loop.add_reader(self._sandbox.output, self._readable, self._sandbox)
        self._reading = True

    def _readable(self, sandbox: Sandbox) -> None:
        if self._read(sandbox) is False or self._output_budget <= 0:
            self._loop.remove_reader(sandbox.output)
            self._reading = False

    def _drain(self, sandbox: Sandbox) -> None:
        """Take what the sandbox has written until now, as far as its budget goes."""
        while self._output_budget > 0 and self._read(sandbox):
            pass

    def _read(self, sandbox: Sandbox) -> bool | None:
        """One read. True if there was output, None if there was none, False at the end."""
        try:
            data = os.read(sandbox.output, OUTPUT_READ)
        except BlockingIOError:
            return None
        except OSError:
            return False
        if not data:
            return False
        self._output_budget -= len(data)
        self._log.output(data)
        return True

    def _sample_memory(self, sandbox: Sandbox) -> None:
        now = time.monotonic()
        if now - self._memory_read_at >= MEMORY_SAMPLE_S:
            self._memory_read_at = now
            self._memory_peak = max(self._memory_peak, sandbox.usage().memory_peak)


class _Events:
    """Runtime events of one generation."""

    __slots__ = ("_driver", "_generation")

    def __init__(self, driver: EnvironmentDriver, generation: int) -> None:
        self._driver = driver
        self._generation = generation

    @property
    def _is_heard(self) -> bool:
        return self._driver.hears(self._generation)

    def ready(self) -> None:
        if self._is_heard:
            self._driver.runtime_ready()

    def init_failed(self, payload: bytes, error_type: str) -> None:
        if self._is_heard:
            self._driver.runtime_init_failed(payload, error_type)

    def responded(self, payload: bytes) -> None:
        if self._is_heard:
            self._driver.runtime_responded(payload)

    def errored(self, payload: bytes, error_type: str) -> None:
        if self._is_heard:
            self._driver.runtime_errored(payload, error_type)

    def response_too_large(self, size: int) -> None:
        if self._is_heard:
            self._driver.runtime_response_too_large()

    def stream_opened(self, content_type: str, flow: BodyFlow) -> None:
        if self._is_heard:
            self._driver.runtime_stream_opened(content_type, flow)

    def stream_data(self, piece: bytes) -> None:
        if self._is_heard:
            self._driver.runtime_stream_data(piece)

    def stream_ended(self) -> None:
        if self._is_heard:
            self._driver.runtime_stream_ended()

    def stream_failed(self, payload: bytes, error_type: str) -> None:
        if self._is_heard:
            self._driver.runtime_stream_failed(payload, error_type)

    def stream_cut(self) -> None:
        if self._is_heard:
            self._driver.runtime_stream_cut()
