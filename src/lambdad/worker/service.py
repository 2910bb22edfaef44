"""The sandboxes of one host: takes questions, owns environments, ends those that are idle for too long or in the way.

One service serves one caller at a time; when the caller leaves, its environments end, for nobody else knows them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from lambdad.model.arn import function_arn
from lambdad.model.environment import Code, EnvironmentSpec, SnapshotFailure
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.limits import INIT_TIMEOUT_S
from lambdad.sandbox.interface import SandboxDriver, Snapshot
from lambdad.telemetry.log import Logger
from lambdad.worker.environment import Phase
from lambdad.worker.environment_driver import EnvironmentDriver, FunctionLog, Provision, ProvisionError
from lambdad.worker.eviction import GreedyDual, Idle, expired
from lambdad.worker.init_budget import PROVISIONED, init_budget
from lambdad.worker.keep_alive import Habit, Habits
from lambdad.worker.restored_log import RestoredLog
from lambdad.worker.snapshots import SNAP_START, SnapshotKeeper, SnapshotProvisioner
from lambdad.worker.starts import StartGate

TICK_S = 0.1
PRESSURE_TICKS = 5
"""Memory is looked at once in so many ticks."""
UNMEASURED = 8 * 1024 * 1024
"""Bytes that an idle environment counts for where nothing measures it (no memory cgroup)."""
WORN_S = 1.0
"""A provisioned environment that has had no runtime process for so long is replaced."""
_BEFORE_READY = (Phase.NEW, Phase.STARTING, Phase.INIT)
_RESTORE_FAILED = (
    "SnapStartException",
    "The afterRestore() runtime hook encountered an error. For more information, check the Amazon CloudWatch logs.",
)
_RESTORE_TIMED_OUT = ("SnapStartTimeoutException", "Lambda couldn't restore the snapshot within the timeout limit.")

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Caller(Protocol):
    """Where answers and news go."""

    def started(self, call: int, timings: dict[str, float]) -> None: ...
    def failed(self, call: int, code: str, message: str) -> None: ...
    def result(self, call: int, result: InvocationResult) -> None: ...
    def stream_opened(self, call: int, content_type: str) -> None: ...
    def stream_piece(self, call: int, piece: bytes) -> None: ...
    def prepared(self, call: int, problem: str | SnapshotFailure | None) -> None: ...
    def free(self, environment_id: str, extensions_ms: float) -> None: ...
    def gone(self, environment_id: str) -> None: ...


class Provisioner(SnapshotProvisioner, Protocol):
    """Turns specs into what sandboxes are made of."""

    async def provision_restored(
        self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float], snapshot: Snapshot
    ) -> Provision:
        """As `provision`, of what starts as a fork of a snapshot."""
        ...

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None: ...
    async def forget(self, key: str) -> None:
        """Give up what is kept ready for the next start of the spec with this key."""
        ...

    def function_log(self, spec: EnvironmentSpec) -> FunctionLog: ...
    def flush_logs(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPolicy:
    """keep_alive: seconds, the least, see `keep_alive.Habit`. freeze_after: seconds.
    memory_reserve: bytes of the host's memory that must stay available. init_timeout: seconds, see `init_budget`.
    """

    keep_alive: float
    freeze_after: float
    memory_reserve: int
    init_timeout: float = INIT_TIMEOUT_S


class WorkerService:
    """The environments of this host."""

    def __init__(
        self,
        driver: SandboxDriver,
        provisioner: Provisioner,
        policy: WorkerPolicy,
        spawn: Spawn,
        log: Logger,
        memory_available: Callable[[], int],
    ) -> None:
        self.driver = driver
        self.spawn = spawn
        self.log = log
        self.loop = asyncio.get_running_loop()
        self._provisioner = provisioner
        self._policy = policy
        self._memory_available = memory_available
        self._caller: Caller | None = None
        self._environments: dict[str, EnvironmentDriver] = {}
        self._leaving: dict[str, EnvironmentDriver] = {}
        """Environments that have ended and whose sandboxes have not, yet."""
        self._thawed: dict[str, EnvironmentDriver] = {}
        """Idle environments that may still use CPU, longest idle first."""
        self._habits = Habits()
        self._habit_of: dict[str, Habit] = {}
        """By environment."""
        self._gate = StartGate()
        self._greedy = GreedyDual()
        self._restoring: dict[str, RestoredLog] = {}
        self.snapshots = SnapshotKeeper(driver, provisioner, spawn, log)
        self._ticks = 0
        self._empty = asyncio.Event()
        self._empty.set()

    # -- questions

    def attach(self, caller: Caller) -> None:
        """Serve this caller from now on."""
        self.stop_all()
        self._caller = caller

    def detach(self, caller: Caller) -> None:
        if self._caller is caller:
            self._caller = None
            self.stop_all()

    def start(self, call: int, environment_id: str, spec: EnvironmentSpec) -> None:
        spec = self.snapshots.choose(spec)
        log = self._provisioner.function_log(spec)
        if isinstance(log, RestoredLog):
            self._restoring[environment_id] = log
        environment = EnvironmentDriver(environment_id, spec, log, self)
        environment.call = call
        self._environments[environment_id] = environment
        self._empty.clear()
        now = time.monotonic()
        function = function_arn(spec.namespace, spec.function_name)
        self._habit_of[environment_id] = habit = self._habits.of(function)
        if spec.initialization_type != PROVISIONED and not spec.ahead:  # which nobody has called for
            habit.called(now)
        self._make(self._gate.ask(function, environment_id, now))

    def invoke(self, call: int, environment_id: str, invocation: Invocation) -> None:
        environment = self._environments.get(environment_id)
        if environment is None or not environment.is_available:
            if self._caller is not None:
                self._caller.failed(call, "SandboxGone", "The sandbox has ended.")
            return
        environment.call = call
        environment.clock = self._greedy.clock
        self._habit_of[environment_id].called(time.monotonic())
        self._thawed.pop(environment_id, None)
        environment.invoke(invocation)

    def credit(self, call: int, environment_id: str, size: int) -> None:
        """Bytes of a streamed response have gone on: the function may write more."""
        environment = self._environments.get(environment_id)
        if environment is not None and environment.call == call:
            environment.credit(size)

    def stop(self, environment_id: str) -> None:
        environment = self._environments.get(environment_id)
        if environment is not None:
            environment.stop()

    def prepare(self, call: int, runtime: str | None, code: tuple[Code, ...]) -> None:
        self.spawn(self._prepare(call, runtime, code))

    async def _prepare(self, call: int, runtime: str | None, code: tuple[Code, ...]) -> None:
        try:
            problem = await self._provisioner.prepare(runtime, code)
        except (ProvisionError, OSError) as error:
            problem = str(error)
        if self._caller is not None:
            self._caller.prepared(call, problem)

    def make_snapshot(self, call: int, spec: EnvironmentSpec) -> None:
        self.spawn(self._make_snapshot(call, spec))

    async def _make_snapshot(self, call: int, spec: EnvironmentSpec) -> None:
        failure = await self.snapshots.make(spec)
        if self._caller is not None:
            self._caller.prepared(call, failure)

    def forget_spec(self, key: str) -> None:
        """Nobody needs what is kept for the spec with this key."""
        self.snapshots.drop(key)
        self.spawn(self._provisioner.forget(key))

    def stop_all(self) -> None:
        for environment in list(self._environments.values()):
            environment.stop()
        self.snapshots.drop_all()

    def stop_images(self) -> None:
        """End every environment whose files come from an image: there is no disk behind them any more."""
        for environment in list(self._environments.values()):
            if environment.spec.image is not None:
                is_awaited = environment.phase in _BEFORE_READY
                environment.stop()
                if self._caller is not None:
                    self._caller.gone(environment.id)
                if is_awaited:  # whoever asked for it would wait for ever
                    self.refuse(environment, "ServiceException", "The files of the image were lost. Try again.")

    async def drained(self) -> None:
        """Wait until no environment is left, and no snapshot."""
        await self._empty.wait()
        await self.snapshots.drained()

    def counts(self) -> dict[str, int]:
        """Environments by phase."""
        totals: dict[str, int] = {}
        for environment in self._environments.values():
            totals[environment.phase.value] = totals.get(environment.phase.value, 0) + 1
        return totals

    # -- environments call back

    async def provision(self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float]) -> Provision:
        if spec.initialization_type != SNAP_START:
            return await self._provisioner.provision(spec, log_stream, timings)
        snapshot = self.snapshots.find(spec)
        if snapshot is None:
            raise ProvisionError("ServiceException", "The snapshot ended before it was restored. Try again.")
        return await self._provisioner.provision_restored(spec, log_stream, timings, snapshot)

    def init_budget(self, spec: EnvironmentSpec) -> float:
        return init_budget(spec, self._policy.init_timeout)

    def announce(self, environment: EnvironmentDriver, timings: dict[str, float]) -> None:
        self._make(self._gate.leave(environment.id, time.monotonic()))
        if environment.spec.initialization_type == SNAP_START and "init" not in timings:
            log = self._restoring.get(environment.id)
            self.refuse(environment, *(_RESTORE_TIMED_OUT if log is not None and log.timed_out else _RESTORE_FAILED))
            self.loop.call_soon(environment.stop)
            return
        if self._caller is not None:
            self._caller.started(environment.call, timings)

    def refuse(self, environment: EnvironmentDriver, code: str, message: str) -> None:
        if self._caller is not None:
            self._caller.failed(environment.call, code, message)

    def reply(self, environment: EnvironmentDriver, result: InvocationResult) -> None:
        self._habit_of[environment.id].finished(environment.idle_since)
        if self._caller is not None:
            self._caller.result(environment.call, result)

    def stream_opened(self, environment: EnvironmentDriver, content_type: str) -> None:
        if self._caller is not None:
            self._caller.stream_opened(environment.call, content_type)

    def stream_piece(self, environment: EnvironmentDriver, piece: bytes) -> None:
        if self._caller is not None:
            self._caller.stream_piece(environment.call, piece)

    def became_idle(self, environment: EnvironmentDriver) -> None:
        self._thawed[environment.id] = environment

    def free(self, environment: EnvironmentDriver, extensions_ms: float) -> None:
        if self._caller is not None:
            self._caller.free(environment.id, extensions_ms)

    def forget(self, environment: EnvironmentDriver) -> None:
        self._environments.pop(environment.id, None)
        self._leaving[environment.id] = environment
        self._thawed.pop(environment.id, None)
        self._habit_of.pop(environment.id, None)
        self._restoring.pop(environment.id, None)
        self._make(self._gate.leave(environment.id, time.monotonic()))

    def released(self, environment: EnvironmentDriver) -> None:
        self._leaving.pop(environment.id, None)
        if not self._environments and not self._leaving:
            self._empty.set()

    # -- time

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        self._ticks += 1
        self._provisioner.flush_logs()
        for environment in list(self._environments.values()):
            if not environment.frozen:
                environment.tick()
        self.snapshots.tick(now)
        self._freeze(now)
        self._make(self._gate.tick(now))
        if self._ticks % PRESSURE_TICKS == 0:
            self._evict(now)

    def _freeze(self, now: float) -> None:
        for environment_id, environment in list(self._thawed.items()):
            if now - environment.idle_since < self._policy.freeze_after:
                break
            del self._thawed[environment_id]
            try:
                environment.freeze()
            except OSError as error:
                self.log.error("sandbox.freeze_failed", environment=environment_id, error=str(error))

    def _make(self, environment_ids: list[str]) -> None:
        """The gate has let these environments through."""
        for environment_id in environment_ids:
            environment = self._environments.get(environment_id)
            if environment is not None and environment.phase is Phase.NEW:
                environment.start()

    def _evict(self, now: float) -> None:
        """End what is idle for too long or in the way. Provisioned environments are neither: only worn ones go.

        One that was initialised ahead waits for its first call as long as it takes, and goes if it is in the way.
        """
        idle: list[EnvironmentDriver] = []
        victims: list[str] = []
        for environment in self._environments.values():
            if not environment.is_available:
                continue
            if environment.phase is Phase.COLD and self._has_lost_its_snapshot(environment.spec):
                victims.append(environment.id)
            elif environment.spec.initialization_type != PROVISIONED:
                idle.append(environment)
            elif environment.phase is Phase.COLD and now - environment.idle_since > WORN_S:
                victims.append(environment.id)
        old = (environment for environment in idle if environment.uses or not environment.spec.ahead)
        victims += expired((self._idle(environment, 0) for environment in old), now)
        missing = self._policy.memory_reserve - self._memory_available()
        if missing > 0:
            missing -= self.snapshots.evict()
        if missing > 0:
            sized = [self._idle(environment, environment.memory_current()) for environment in idle]
            victims += [victim for victim in self._greedy.victims(sized, missing) if victim not in victims]
        for victim in victims:
            self._environments[victim].stop()
            if self._caller is not None:
                self._caller.gone(victim)

    def _has_lost_its_snapshot(self, spec: EnvironmentSpec) -> bool:
        """Whether an environment without a process could not start one any more."""
        return spec.initialization_type == SNAP_START and self.snapshots.find(spec) is None

    def _idle(self, environment: EnvironmentDriver, size: int) -> Idle:
        return Idle(
            id=environment.id,
            since=environment.idle_since,
            uses=environment.uses,
            start_ms=environment.start_ms,
            size=size or UNMEASURED,
            clock=environment.clock,
            keep=self._habit_of[environment.id].keep_s(self._policy.keep_alive),
        )
