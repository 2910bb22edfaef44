"""The extensions of one sandbox: their processes, their registration, their telemetry and their end.

An extension is untrusted code like the function's own, behind the same walls: it has rights over its own sandbox's
life (it can hold it up or end it), bounded by the same timeouts, and none beyond. There is a host only for sandboxes
that have extensions.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lambdad.model.limits import EXTENSIONS_MAX
from lambdad.runtime_api.extension_state import SHUTDOWN, Extension, Extensions, State
from lambdad.runtime_api.extensions import ExtensionsApi, FunctionIdentity
from lambdad.sandbox.interface import ExitStatus, Program, Sandbox, SandboxError, StartError
from lambdad.telemetry.function_log import Event, ExtensionState
from lambdad.telemetry.hub import TelemetryHub
from lambdad.telemetry.subscription import Subscription
from lambdad.worker.environment import Reason
from lambdad.worker.output import OutputReader

DIRECTORY = "/opt/extensions"
EXTERNAL_BUDGET_S, INTERNAL_BUDGET_S = 2.0, 0.5
"""How long the end of a sandbox may take, if it has extensions of the kind. Source: "Shutdown phase", AWS Lambda
Developer Guide."""
RUNTIME_SHARE = 0.3
"""The runtime's part of it before the extensions'."""
EXIT_GRACE_S = 1.0
"""An extension that reports an error ends by itself, and how is told; this long at most."""

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class ExtensionLog(Protocol):
    """As much of the log of an environment as extensions have to do with."""

    def tell(self, event: Event) -> None: ...
    def extension_output(self, name: str, data: bytes) -> None: ...
    def attach(self, hub: TelemetryHub) -> None: ...
    def detach(self) -> None: ...


class Owner(Protocol):
    """Who hears of the extensions."""

    def extensions_changed(self) -> None:
        """One of them waits for an event: perhaps all of them do."""
        ...

    def extension_failed(self, error_type: str, message: str) -> None:
        """The sandbox cannot go on. Called once at most."""
        ...


@dataclass(frozen=True, slots=True)
class ExtensionPlan:
    """External extensions: file names below `DIRECTORY`, in the order of starting, and their whole environment."""

    names: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


NO_EXTENSIONS = ExtensionPlan()


class ExtensionHost:
    """logs_json: whether the function logs JSON. spawn: runs deliveries in tasks that somebody awaits."""

    def __init__(
        self,
        function: FunctionIdentity,
        sandbox: Sandbox,
        log: ExtensionLog,
        spawn: Spawn,
        owner: Owner,
        *,
        logs_json: bool,
    ) -> None:
        self._sandbox = sandbox
        self._log = log
        self._owner: Owner | None = owner
        self._loop = asyncio.get_running_loop()
        self._extensions = Extensions()
        self.api = ExtensionsApi(function, self, self._extensions)
        self._hub = TelemetryHub(self._connect, spawn, _now_ms, logs_json=logs_json)
        self._programs: dict[str, Program] = {}
        self._readers: list[OutputReader] = []
        self._registered: asyncio.Future[bool] = self._loop.create_future()
        log.attach(self._hub)

    # -- asked by whoever runs the sandbox

    @property
    def is_empty(self) -> bool:
        return not self._extensions.all

    @property
    def is_ready(self) -> bool:
        """Whether every extension waits for an event."""
        return self._extensions.is_ready

    @property
    def is_settled(self) -> bool:
        """Whether every extension that takes invocations waits for the next one."""
        return all(each.state is not State.RUNNING for each in self._extensions.all)

    async def start(self, plan: ExtensionPlan) -> bool:
        """Start the external extensions. True once all have registered; False if that will not come."""
        for name in plan.names[: EXTENSIONS_MAX + 1]:
            self._extensions.expect(name)
        if len(plan.names) > EXTENSIONS_MAX:
            text = f"too many extensions: {len(plan.names)}, at most {EXTENSIONS_MAX} are allowed"
            self._launch_failed(self._extensions.all[-1], "TooManyExtensions", text)
            return False
        for extension in list(self._extensions.all):
            try:
                program = await self._sandbox.spawn((f"{DIRECTORY}/{extension.name}",), plan.environment)
            except StartError as error:
                self._launch_failed(extension, error.kind, str(error))
                return False
            self._run(extension, program)
        return await self._registered

    def close_registration(self) -> None:
        """The runtime is there: no extension comes after it."""
        self._extensions.close()

    def end_init(self) -> None:
        """The init phase is over, well or not."""
        for each in self._extensions.all:
            self._log.tell(
                ExtensionState(name=each.name, state=each.state.value, events=each.events, error_type=each.error_type)
            )
        self.api.close()
        self._hub.end_init()

    def tick(self) -> None:
        for reader in self._readers:
            reader.refill()

    def pause(self) -> None:
        """The sandbox is being frozen."""
        self._hub.pause()

    def resume(self) -> None:
        self._hub.resume()

    def give_up(self) -> None:
        """Nobody wants to hear of it any more; `shut_down` follows."""
        self._owner = None
        if not self._registered.done():
            self._registered.set_result(False)

    async def shut_down(self, reason: Reason) -> None:
        """End runtime and extensions in AWS's order, within their budget; what is left is to be killed."""
        running = [name for name, program in self._programs.items() if not program.exited.done()]
        budget = EXTERNAL_BUDGET_S if self._programs else INTERNAL_BUDGET_S
        end = self._loop.time() + budget
        self._hub.resume()
        self._hub.flush()
        self._sandbox.signal(signal.SIGTERM)
        share = RUNTIME_SHARE * budget if self._programs else budget
        await asyncio.wait([self._sandbox.exited], timeout=share)
        self._sandbox.signal(signal.SIGKILL)
        self.api.shut_down(reason.value, _now_ms() + int((end - self._loop.time()) * 1000))
        subscribers = {each.name for each in self._extensions.subscribers(SHUTDOWN)}
        waiting = [self._programs[name].exited for name in running if name in subscribers]
        if waiting:
            await asyncio.wait(waiting, timeout=max(end - self._loop.time(), 0.0))

    def close(self) -> None:
        """Let go of what the sandbox holds; it is destroyed next."""
        for reader in self._readers:
            reader.stop()
        self._readers.clear()
        self._hub.close()
        self._log.detach()

    # -- ExtensionEvents

    def registered(self, extension: Extension) -> None:
        if self._extensions.is_registered and not self._registered.done():
            self._registered.set_result(True)

    def waits(self, extension: Extension) -> None:
        if self._owner is not None:
            self._owner.extensions_changed()

    def reported_error(self, extension: Extension) -> None:
        if extension.is_external:
            self._loop.call_later(EXIT_GRACE_S, self._failed, extension, "exit code 0")
        else:
            self._failed(extension, extension.error_type or "")

    def subscribed(self, extension: Extension, subscription: Subscription) -> None:
        self._log.tell(self._hub.subscribe(extension.name, subscription))

    # -- inside

    def _run(self, extension: Extension, program: Program) -> None:
        name = extension.name
        self._programs[name] = program
        reader = OutputReader(self._loop, program.output, lambda data: self._log.extension_output(name, data))
        self._readers.append(reader)
        program.exited.add_done_callback(lambda exited: self._exited(extension, reader, exited.result()))

    def _exited(self, extension: Extension, reader: OutputReader, status: ExitStatus) -> None:
        if self._owner is not None:
            reader.drain()
            self._failed(extension, "exit code 0" if status.code == 0 else status.describe())
        if not extension.has_left:
            extension.state = State.EXITED

    def _launch_failed(self, extension: Extension, kind: str, message: str) -> None:
        extension.state, extension.error_type = State.LAUNCH_ERROR, kind
        self._failed(extension, message)

    def _failed(self, extension: Extension, message: str) -> None:
        owner, self._owner = self._owner, None
        if not self._registered.done():
            self._registered.set_result(False)
        if owner is not None:
            owner.extension_failed(_FAILURES.get(extension.state, "Extension.Crash"), message)

    async def _connect(self, port: int) -> socket.socket:
        """Raises OSError."""
        try:
            connection = await self._sandbox.open_socket()
        except SandboxError as error:
            raise ConnectionError(str(error)) from error
        try:
            await self._loop.sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return connection


_FAILURES = {
    State.LAUNCH_ERROR: "Extension.LaunchError",
    State.INIT_ERROR: "Extension.InitError",
    State.EXIT_ERROR: "Extension.ExitError",
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
