"""From a function's spec to what its sandbox is made of: code, /tmp, environment, limits.

Implements `worker.service.Provisioner`.
"""

from __future__ import annotations

import asyncio
import time
import uuid

from lambdad.layers.provide import CodeStore
from lambdad.model.environment import Code, EnvironmentSpec
from lambdad.model.limits import FILES_MAX, MEGABYTE, MEMORY_MB_PER_VCPU, PROCESSES_MAX
from lambdad.runtimes.catalogue import Catalogue
from lambdad.runtimes.environment import Credentials
from lambdad.runtimes.runtime import PythonRuntime, Runtime, RuntimeMissing
from lambdad.runtimes.start import InvalidEntrypoint, prepare_start, zygote_spec
from lambdad.sandbox.interface import SandboxDriver, StartError, Volume
from lambdad.sandbox.spec import SandboxSpec
from lambdad.store.blobs import BlobDamaged, BlobNotFound
from lambdad.telemetry.function_log import stream_name
from lambdad.telemetry.log_store import LogStore
from lambdad.worker.environment_driver import FunctionLog, ProvisionError
from lambdad.worker.function_log import EnvironmentLog

INIT_CPUS = 2.0
"""CPU share of the init phase, whatever the memory: AWS, too, starts small functions with more than their share."""


class ZygoteHost:
    """The zygotes of a driver, each started when the first function of its runtime comes."""

    def __init__(self, driver: SandboxDriver, *, enabled: bool) -> None:
        self._driver = driver
        self._enabled = enabled
        self._lock = asyncio.Lock()
        self._names: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    async def ensure(self, runtime: Runtime) -> None:
        if not self._enabled or not isinstance(runtime, PythonRuntime) or runtime.identifier in self._names:
            return
        async with self._lock:
            if runtime.identifier not in self._names:
                await self._driver.add_zygote(zygote_spec(runtime))
                self._names.add(runtime.identifier)


class NodeProvision:
    """What the sandboxes of one environment share, for as long as it lives."""

    def __init__(
        self, sandbox_spec: SandboxSpec, cpus: float, volume: Volume, code: CodeStore, held: tuple[Code, ...]
    ) -> None:
        self.sandbox_spec = sandbox_spec
        self.cpus = cpus
        self.volume = volume
        self._code = code
        self._held = held

    async def release(self) -> None:
        await self.volume.close()
        for code in self._held:
            self._code.release(code)


class NodeProvisioner:
    """Provisions from the code store and the runtimes of this host."""

    def __init__(
        self,
        driver: SandboxDriver,
        catalogue: Catalogue,
        code: CodeStore,
        logs: LogStore,
        zygotes: ZygoteHost,
        credentials: Credentials,
    ) -> None:
        self._driver = driver
        self._catalogue = catalogue
        self._code = code
        self._logs = logs
        self._zygotes = zygotes
        self._credentials = credentials

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        if runtime is not None and self._catalogue.check(runtime) is None:
            problem = await self._catalogue.ensure(runtime)
            if problem is not None:
                return problem
            await self._zygotes.ensure(self._catalogue.get(runtime))
        try:
            for item in code:
                await self._code.provide(item)
        except (BlobNotFound, BlobDamaged) as error:
            return str(error)
        return None

    async def provision(self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float]) -> NodeProvision:
        started = time.monotonic()
        held: list[Code] = []
        try:
            directories = []
            for code in (*((spec.code,) if spec.code is not None else ()), *spec.layers):
                directories.append(await self._code.acquire(code))
                held.append(code)
            runtime = await self._runtime(spec)
            timings["code"] = (time.monotonic() - started) * 1000
            sandbox_spec = self._plan(runtime, spec, log_stream, directories[0], tuple(directories[1:]))
            volume = await self._driver.create_volume(spec.ephemeral_mb)
        except (BlobNotFound, BlobDamaged) as error:
            raise ProvisionError("InvalidZipFileException", str(error)) from error
        except BaseException:
            for code in held:
                self._code.release(code)
            raise
        return NodeProvision(sandbox_spec, _cpus(spec), volume, self._code, tuple(held))

    async def _runtime(self, spec: EnvironmentSpec) -> Runtime:
        assert spec.runtime is not None
        try:
            runtime = self._catalogue.get(spec.runtime)
        except RuntimeMissing as error:
            raise ProvisionError("InvalidRuntimeException", str(error)) from error
        problem = await self._catalogue.ensure(spec.runtime)
        if problem is not None:
            raise ProvisionError("InvalidRuntimeException", problem)
        await self._zygotes.ensure(runtime)
        return runtime

    def _plan(
        self, runtime: Runtime, spec: EnvironmentSpec, log_stream: str, task_dir: str, layer_dirs: tuple[str, ...]
    ) -> SandboxSpec:
        start = prepare_start(
            runtime,
            spec,
            task_dir=task_dir,
            layer_dirs=layer_dirs,
            log_stream=log_stream,
            credentials=self._credentials,
            zygotes=self._zygotes.names,
        )
        if isinstance(start, InvalidEntrypoint):
            raise StartError("Runtime.InvalidEntrypoint", start.message)
        return SandboxSpec(
            start=start.start,
            mounts=start.mounts,
            environment=start.environment,
            working_directory=start.working_directory,
            memory_bytes=spec.memory_mb * MEGABYTE,
            cpus=max(_cpus(spec), INIT_CPUS),
            pids=PROCESSES_MAX,
            files=FILES_MAX,
            egress=spec.egress,
        )

    def function_log(self, spec: EnvironmentSpec) -> FunctionLog:
        stream = stream_name(_now_ms(), spec.version, uuid.uuid4().hex)
        writer = self._logs.open(spec.namespace, spec.log_group or f"/aws/lambda/{spec.function_name}", stream)
        return EnvironmentLog(spec, stream, writer, _runtime_version(spec.runtime), _now_ms)

    def flush_logs(self) -> None:
        self._logs.flush()


def _cpus(spec: EnvironmentSpec) -> float:
    """AWS's share of CPU time for a function's memory."""
    return spec.memory_mb / MEMORY_MB_PER_VCPU


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _runtime_version(identifier: str | None) -> str | None:
    """How INIT_START names a managed runtime: `python:3.11`, `nodejs:20`."""
    if identifier is None:
        return None
    for family in ("python", "nodejs"):
        if identifier.startswith(family):
            return f"{family}:{identifier.removeprefix(family).removesuffix('.x')}"
    return None
