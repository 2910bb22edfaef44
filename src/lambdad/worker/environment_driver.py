"""The driver of one `Environment`: its effects on sandboxes, logs and timers; their events back to it.

An environment may go through several runtime processes, one generation after the other, each in a sandbox of its own
with the same /tmp. Events carry their generation: what a sandbox says after it was given up is not heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from lambdad.model.environment import EnvironmentSpec
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.runtime_api.extensions import FunctionIdentity
from lambdad.runtime_api.server import LIMITS, MODE_HEADER, RuntimeApi
from lambdad.sandbox.interface import Sandbox, SandboxDriver, SandboxError, StartError, Volume
from lambdad.sandbox.spec import SandboxSpec
from lambdad.telemetry.log import Logger
from lambdad.wire.http import BodyFlow, Request
from lambdad.wire.server import HttpServer, Responder
from lambdad.worker.environment import Environment, Phase, Reason
from lambdad.worker.extension_host import ExtensionHost, ExtensionLog, ExtensionPlan
from lambdad.worker.outcome import Done, Summary
from lambdad.worker.output import OutputReader
from lambdad.worker.remains import Remains, destroy
from lambdad.worker.stream import StreamWindow

MEMORY_SAMPLE_S = 0.25
"""The peak memory in REPORT may be this old: reading it costs more than the rest of a warm invocation's log."""

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class FunctionLog(ExtensionLog, Protocol):
    """The log of one environment. stream: its name, as AWS forms it."""

    stream: str

    def init_start(self, phase: str) -> None: ...
    def init_runtime_done(self, phase: str, status: str, error_type: str) -> None: ...
    def init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None: ...
    def done(self, invocation: Invocation, done: Done) -> None: ...
    def start(self, invocation: Invocation) -> None: ...
    def report(self, invocation: Invocation, summary: Summary, memory_mb: int) -> None: ...
    def output(self, data: bytes) -> None:
        """What the function wrote, in pieces as they came."""
        ...

    def tail(self) -> bytes:
        """The end of the log since `start`."""
        ...

    def close(self) -> None: ...


class Provision(Protocol):
    """Everything that a sandbox of one spec is made of, held until `release`.

    sandbox_spec: with the CPU share of the init phase; held if there are external extensions. cpus: the share after it.
    """

    sandbox_spec: SandboxSpec
    cpus: float
    volume: Volume
    extensions: ExtensionPlan

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

    def init_budget(self, spec: EnvironmentSpec) -> float:
        """Seconds for its init phase."""
        ...

    def announce(self, environment: EnvironmentDriver, timings: dict[str, float]) -> None: ...
    def refuse(self, environment: EnvironmentDriver, code: str, message: str) -> None: ...
    def reply(self, environment: EnvironmentDriver, result: InvocationResult) -> None: ...
    def stream_opened(self, environment: EnvironmentDriver, content_type: str) -> None: ...
    def stream_piece(self, environment: EnvironmentDriver, piece: bytes) -> None: ...
    def became_idle(self, environment: EnvironmentDriver) -> None: ...
    def free(self, environment: EnvironmentDriver, extensions_ms: float) -> None:
        """It takes invocations again, some time after it has answered the last one."""
        ...

    def forget(self, environment: EnvironmentDriver) -> None:
        """It takes no more invocations; `released` follows."""
        ...

    def released(self, environment: EnvironmentDriver) -> None: ...


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
        self._machine = Environment(spec.timeout_s, self, host.init_budget(spec))
        self._generation = 0
        self._provision: Provision | None = None
        self._sandbox: Sandbox | None = None
        self._api: RuntimeApi | None = None
        self._server: HttpServer | None = None
        self._output: OutputReader | None = None
        self._extensions: ExtensionHost | None = None
        self._runtime_is_ready = False
        self._window: StreamWindow | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._dying: set[asyncio.Future[None]] = set()
        self._timings: dict[str, float] = {}
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
            if self._extensions is not None:
                self._extensions.pause()

    def tick(self) -> None:
        """Let output flow again, and drop connections inside that dawdle. Called a few times a second."""
        if self._output is not None:
            self._output.refill()
        if self._extensions is not None:
            self._extensions.tick()
        if self._server is not None:
            self._server.sweep()

    def memory_current(self) -> int:
        """Bytes in use now."""
        return 0 if self._sandbox is None else self._sandbox.usage().memory_current

    def _thaw(self) -> None:
        if self.frozen and self._sandbox is not None:
            self._sandbox.thaw()
            if self._extensions is not None:
                self._extensions.resume()
        self.frozen = False

    # -- effects of the machine

    def launch(self) -> None:
        self._generation += 1
        self._runtime_is_ready = False
        self._log.init_start("init" if self._machine.phase is Phase.STARTING else "invoke")
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
            self._tell_leak(await destroy(sandbox))
            if self.phase is Phase.GONE:
                await self._release()
            return
        await self._attach(generation, sandbox)

    async def _attach(self, generation: int, sandbox: Sandbox) -> None:
        """Serve the Runtime API of a sandbox that has just started, and hear its output and its end."""
        assert self._provision is not None
        plan = self._provision.extensions
        self._sandbox = sandbox
        self._api = RuntimeApi(_Events(self, generation), self._handle_extension_call)
        self._server = server = HttpServer(self._api.handle, LIMITS, self._loop, self._api.open_body, MODE_HEADER)
        self._output = OutputReader(self._loop, sandbox.output, self._log.output)
        if plan.names:
            self._host_extensions()
        self._machine.launched(time.monotonic())
        await server.listen(sandbox.listener)
        if generation != self._generation:
            server.abort()
            return
        sandbox.exited.add_done_callback(lambda future: self._exited(generation))
        if plan.names:
            await self._start_extensions(generation, sandbox, plan)

    async def _start_extensions(self, generation: int, sandbox: Sandbox, plan: ExtensionPlan) -> None:
        """Start the external extensions, and the runtime once all of them have registered."""
        assert self._extensions is not None
        try:
            if await self._extensions.start(plan) and generation == self._generation:
                await sandbox.proceed()
        except StartError as error:
            if generation == self._generation:
                self._machine.launch_failed(time.monotonic(), error.kind, str(error))
        except (SandboxError, OSError) as error:
            self._host.log.error("sandbox.failed", environment=self.id, function=self.spec.arn, error=str(error))
            if generation == self._generation:
                self._machine.launch_refused(time.monotonic(), "ServiceException", str(error))

    def _host_extensions(self) -> ExtensionHost:
        assert self._sandbox is not None
        as_json = self.spec.log_format == "JSON"
        host = ExtensionHost(_identity(self.spec), self._sandbox, self._log, self._host.spawn, self, logs_json=as_json)
        self._extensions = host
        return host

    def _handle_extension_call(self, request: Request, responder: Responder) -> None:
        """What is no call of the Runtime API. The first one shows that a function has internal extensions."""
        if self._sandbox is not None:
            extensions = self._extensions or self._host_extensions()
            if self._runtime_is_ready:
                extensions.close_registration()
            extensions.api.handle(request, responder)

    def kill(self, reason: Reason) -> None:
        self._generation += 1
        sandbox, server, output, extensions = self._sandbox, self._server, self._output, self._extensions
        self._sandbox = self._server = self._output = self._extensions = self._api = None
        if sandbox is None or server is None or output is None:
            return
        self.frozen = False
        remains = Remains(sandbox, server, output, extensions)
        remains.give_up()
        done: asyncio.Future[None] = self._loop.create_future()
        self._dying.add(done)
        self._host.spawn(self._bury(remains, reason, done))

    async def _bury(self, remains: Remains, reason: Reason, done: asyncio.Future[None]) -> None:
        try:
            self._tell_leak(await remains.bury(reason))
        finally:
            self._dying.discard(done)
            done.set_result(None)
        if remains.extensions is not None:
            self._machine.ended(time.monotonic())

    def _tell_leak(self, what: str) -> None:
        if what:
            self._host.log.error("sandbox.leaked", environment=self.id, error=what)

    def has_extensions(self) -> bool:
        return self._extensions is not None and not self._extensions.is_empty

    def is_settled(self) -> bool:
        extensions = self._extensions
        if extensions is None or extensions.is_empty:
            return True
        return self._api is not None and self._api.is_waiting and extensions.is_settled

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
        deadline_ms = int((time.time() + remaining_s) * 1000)
        if self._extensions is not None:
            self._extensions.api.invoke(invocation, deadline_ms)
        self._api.deliver(invocation, deadline_ms)

    def has_taken(self) -> bool:
        return self._api is not None and self._api.delivered

    def reply(self, request_id: str, result: InvocationResult) -> None:
        if not result.lingers:
            self._became_idle()
        self._host.reply(self, result)

    def free(self, extensions_ms: float) -> None:
        self._became_idle()
        self._host.free(self, extensions_ms)

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

    def log_done(self, invocation: Invocation, done: Done) -> None:
        if self._output is not None:
            self._output.drain()
        self._log.done(invocation, done)

    def log_report(self, invocation: Invocation, summary: Summary) -> None:
        if self._sandbox is not None:
            self._sample_memory(self._sandbox)
        self._log.report(invocation, summary, self.memory_used_mb())

    def log_init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        if self._output is not None:
            self._output.drain()
        if self._extensions is not None:
            self._extensions.end_init()
        self._log.init_done(phase, duration_ms, status, error_type)

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
        self._host.released(self)

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
        self._runtime_is_ready = True
        if self._extensions is not None:
            self._extensions.close_registration()
            phase = "init" if self._machine.phase is Phase.INIT else "invoke"
            self._log.init_runtime_done(phase, "success", "")
        self._check_ready()

    def _check_ready(self) -> None:
        """The init phase ends when the runtime and every extension wait for the first invocation."""
        if self._runtime_is_ready and (self._extensions is None or self._extensions.is_ready):
            assert self._sandbox is not None
            assert self._provision is not None
            self._sandbox.limit_cpu(self._provision.cpus)
            self._machine.ready(time.monotonic())

    def runtime_waits(self) -> None:
        """It has asked for another invocation."""
        if self._extensions is not None:
            self._machine.runtime_waits(time.monotonic())
            self.extensions_changed()

    def extensions_changed(self) -> None:
        match self._machine.phase:
            case Phase.INIT | Phase.REINIT:
                self._check_ready()
            case Phase.LINGERING if self.is_settled():
                self._machine.settled(time.monotonic())
            case _:
                pass

    def extension_failed(self, error_type: str, message: str) -> None:
        self._machine.extension_failed(time.monotonic(), error_type, message)

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

    # -- memory

    def _sample_memory(self, sandbox: Sandbox) -> None:
        now = time.monotonic()
        if now - self._memory_read_at >= MEMORY_SAMPLE_S:
            self._memory_read_at = now
            self._memory_peak = max(self._memory_peak, sandbox.usage().memory_peak)


def _identity(spec: EnvironmentSpec) -> FunctionIdentity:
    return FunctionIdentity(
        name=spec.function_name, version=spec.version, handler=spec.handler or "", account=spec.namespace.account
    )


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

    def waits(self) -> None:
        if self._is_heard:
            self._driver.runtime_waits()

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
