"""The snapshots of one host, by function version: made once, forked from, made again if they are lost, freed.

A snapshot that is not there delays nobody: its function starts as any other does, while another one is made. Failures
to make one are remembered for a while, so that a function whose init phase fails now and then does not run it all day.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lambdad.model.environment import EnvironmentSpec, SnapshotFailure
from lambdad.sandbox.interface import SandboxDriver, SandboxError, Snapshot, StartError
from lambdad.sandbox.spec import Exec
from lambdad.telemetry.log import Logger
from lambdad.worker.environment_driver import Provision, ProvisionError
from lambdad.worker.init_budget import ahead_budget
from lambdad.worker.output import OutputReader
from lambdad.worker.snapshot_init import InitLog, run_init

SNAP_START = "snap-start"
SNAPSHOTS_MAX = 64
RETRY_S = 60.0
REST_S = 1.0

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class SnapshotProvisioner(Protocol):
    """What a snapshot is made of."""

    async def provision(self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float]) -> Provision: ...

    def init_log(self, spec: EnvironmentSpec) -> InitLog: ...

    def why_not_forked(self, spec: EnvironmentSpec) -> str:
        """Why a function like this is not started from a snapshot; empty if it is."""
        ...


@dataclass(slots=True)
class _Kept:
    snapshot: Snapshot
    output: OutputReader
    log: InitLog
    provision: Provision
    used: float


class SnapshotKeeper:
    """Of one worker."""

    def __init__(self, driver: SandboxDriver, provisioner: SnapshotProvisioner, spawn: Spawn, log: Logger) -> None:
        self._driver = driver
        self._provisioner = provisioner
        self._spawn = spawn
        self._log = log
        self._kept: dict[str, _Kept] = {}
        self._making: dict[str, asyncio.Future[SnapshotFailure | None]] = {}
        self._failed: dict[str, float] = {}
        self._dropped: set[str] = set()
        """Keys that were dropped while their snapshot was being made."""
        self._ending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._number = 0

    def find(self, spec: EnvironmentSpec) -> Snapshot | None:
        """The snapshot to start an environment from."""
        kept = self._kept.get(spec.key)
        if spec.initialization_type != SNAP_START or kept is None or not kept.snapshot.is_usable:
            return None
        kept.used = time.monotonic()
        return kept.snapshot

    def choose(self, spec: EnvironmentSpec) -> EnvironmentSpec:
        """`spec` as its environment is started now: without its snapshot, until that is there again, as any other."""
        if spec.initialization_type != SNAP_START or self.find(spec) is not None:
            return spec
        retry_at = self._failed.get(spec.key, 0.0)
        if spec.key not in self._making and time.monotonic() >= retry_at and not self._why_not(spec):
            self._spawn(self._make_again(spec))
        return replace(spec, initialization_type="on-demand")

    async def make(self, spec: EnvironmentSpec) -> SnapshotFailure | None:
        """Make it, unless it is there. Callers at the same time wait for one making."""
        if self.find(spec) is not None:
            return None
        why = self._why_not(spec)
        if why:
            return SnapshotFailure(code="", reason=why)
        making = self._making.get(spec.key)
        if making is None:
            making = self._making[spec.key] = asyncio.get_running_loop().create_future()
            self._begin()
            self._spawn(self._make(spec, making))
        return await asyncio.shield(making)

    def drop(self, key: str) -> None:
        """Nobody starts from it any more. Sandboxes that were restored from it stay."""
        self._failed.pop(key, None)
        if key in self._making:
            self._dropped.add(key)
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._end(kept)

    def drop_all(self) -> None:
        for key in (*self._kept, *self._making):
            self.drop(key)

    async def drained(self) -> None:
        """Wait until nothing of any snapshot is left."""
        await self._idle.wait()

    def tick(self, now: float) -> None:
        """Forget those that have ended; give no CPU to those that nobody needs."""
        for key, kept in list(self._kept.items()):
            kept.output.refill()
            if not kept.snapshot.is_usable:
                self._log.warning("snapshot.lost", key=key)
                self.drop(key)
            elif now - kept.used >= REST_S:
                kept.snapshot.rest()

    def evict(self) -> int:
        """Under memory pressure: end the one that was used longest ago. Returns its size in bytes, 0 for none."""
        if not self._kept:
            return 0
        key = min(self._kept, key=lambda name: self._kept[name].used)
        size = self._kept[key].snapshot.sandbox.usage().memory_current
        self._log.info("snapshot.evicted", key=key)
        self.drop(key)
        self._failed[key] = time.monotonic() + RETRY_S
        return size

    def _why_not(self, spec: EnvironmentSpec) -> str:
        return self._driver.why_no_snapshots or self._provisioner.why_not_forked(spec)

    async def _make_again(self, spec: EnvironmentSpec) -> None:
        failure = await self.make(spec)
        if failure is not None:
            self._log.warning("snapshot.failed", function=spec.arn, error=failure.reason)

    async def _make(self, spec: EnvironmentSpec, making: asyncio.Future[SnapshotFailure | None]) -> None:
        failure: SnapshotFailure | None = SnapshotFailure(
            code="InternalError", reason="The worker ended while the snapshot was made."
        )
        try:
            failure = await self._try(spec)
        except StartError as error:
            failure = SnapshotFailure(
                code=_START_CODES.get(error.kind, "FunctionError.RuntimeInitError"), reason=str(error)
            )
        except (SandboxError, ProvisionError, OSError) as error:
            failure = SnapshotFailure(code="InternalError", reason=str(error))
        finally:
            del self._making[spec.key]
            self._dropped.discard(spec.key)
            if failure is not None:
                self._failed[spec.key] = time.monotonic() + RETRY_S
            making.set_result(failure)
            self._finish()

    async def _try(self, spec: EnvironmentSpec) -> SnapshotFailure | None:
        log = self._provisioner.init_log(spec)
        log.init_start("init")
        try:
            provision = await self._provisioner.provision(spec, log.stream, {})
        except BaseException:
            log.close()
            raise
        if unfit := _why_unfit(provision):
            log.close()
            await provision.release()
            return SnapshotFailure(code="", reason=unfit)
        self._number += 1
        try:
            snapshot = await self._driver.launch_snapshot(
                f"{spec.key}-{self._number}", provision.sandbox_spec, provision.volume
            )
        except BaseException:
            log.close()
            await provision.release()
            raise
        output = OutputReader(asyncio.get_running_loop(), snapshot.sandbox.output, log.output)
        kept = _Kept(snapshot, output, log, provision, time.monotonic())
        try:
            failure = await run_init(snapshot, log, output, ahead_budget(spec.timeout_s))
            if failure is None:
                await snapshot.seal()
        except BaseException:
            self._end(kept)
            raise
        if failure is not None or spec.key in self._dropped:
            self._end(kept)
            return failure
        kept.used = time.monotonic()
        self._kept[spec.key] = kept
        while len(self._kept) > SNAPSHOTS_MAX:
            self.evict()
        return None

    def _end(self, kept: _Kept) -> None:
        self._begin()
        kept.output.stop()
        self._spawn(self._bury(kept))

    async def _bury(self, kept: _Kept) -> None:
        try:
            await kept.snapshot.destroy()
            await kept.provision.release()
        except (SandboxError, OSError) as error:
            self._log.error("snapshot.leaked", error=str(error))
        finally:
            kept.log.close()
            self._finish()

    def _begin(self) -> None:
        self._ending += 1
        self._idle.clear()

    def _finish(self) -> None:
        self._ending -= 1
        if not self._ending:
            self._idle.set()


def _why_unfit(provision: Provision) -> str:
    """Why this function starts as all others do; empty if it can be forked."""
    if provision.extensions.names:
        return "extensions cannot be forked with their function"
    if isinstance(provision.sandbox_spec.start, Exec):
        # `execve` takes away the rights that a snapshot needs for entering the places of its forks.
        return "it is booted as a program of its own, and only what was forked from a zygote can be forked again"
    return ""


_START_CODES = {
    "Runtime.InvalidEntrypoint": "FunctionError.InvalidEntryPoint",
    "Runtime.InvalidWorkingDir": "FunctionError.InvalidWorkingDirectory",
}
