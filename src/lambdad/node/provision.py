"""From a function's spec to what its sandbox is made of: code, /tmp, environment, limits.

Implements `worker.service.Provisioner`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TypedDict

from lambdad.layers.provide import CodeStore
from lambdad.model.environment import Code, EnvironmentSpec
from lambdad.model.limits import FILES_MAX, MEGABYTE, MEMORY_MB_PER_VCPU, PROCESSES_MAX
from lambdad.node.images import WorkerImages
from lambdad.node.zip_root import ZipRoot
from lambdad.runtimes.catalogue import Catalogue
from lambdad.runtimes.environment import AwsAccess, build_environment, restored_environment
from lambdad.runtimes.extensions import extension_environment, find_image_extensions, find_layer_extensions
from lambdad.runtimes.runtime import PythonRuntime, Runtime, RuntimeMissing
from lambdad.runtimes.start import InvalidEntrypoint, prepare_start, zygote_spec
from lambdad.sandbox.interface import SandboxDriver, Snapshot, StartError, Volume
from lambdad.sandbox.spec import DirectoryRoot, Exec, Restore, SandboxSpec
from lambdad.store.blobs import BlobDamaged, BlobNotFound
from lambdad.telemetry.function_log import stream_name
from lambdad.telemetry.log_store import LogStore
from lambdad.worker.environment_driver import FunctionLog, ProvisionError
from lambdad.worker.extension_host import NO_EXTENSIONS, ExtensionPlan
from lambdad.worker.function_log import EnvironmentLog
from lambdad.worker.restored_log import RestoredLog
from lambdad.worker.snapshots import SNAP_START

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
    """What the sandboxes of one environment share, for as long as it lives. held: gives everything back."""

    def __init__(
        self,
        sandbox_spec: SandboxSpec,
        cpus: float,
        volume: Volume,
        held: AsyncExitStack,
        extensions: tuple[str, ...] = (),
    ) -> None:
        self.sandbox_spec = replace(sandbox_spec, held=True) if extensions else sandbox_spec
        self.extensions = NO_EXTENSIONS
        if extensions:
            self.extensions = ExtensionPlan(extensions, extension_environment(sandbox_spec.environment))
        self.cpus = cpus
        self.volume = volume
        self._held = held

    async def release(self) -> None:
        await self._held.aclose()


class NodeProvisioner:
    """Provisions from the code store, the images and the runtimes of this host. images: None without root."""

    def __init__(
        self,
        driver: SandboxDriver,
        catalogue: Catalogue,
        code: CodeStore,
        logs: LogStore,
        zygotes: ZygoteHost,
        images: WorkerImages | None,
        root: ZipRoot,
        access: AwsAccess,
    ) -> None:
        self._driver = driver
        self._catalogue = catalogue
        self._code = code
        self._logs = logs
        self._zygotes = zygotes
        self._images = images
        self._root = root
        self._access = access

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        if runtime is not None and self._catalogue.check(runtime) is None:
            problem = self._root.why_not(self._catalogue.get(runtime)) or await self._catalogue.ensure(runtime)
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
        async with AsyncExitStack() as held:
            if spec.image is not None:
                sandbox_spec, extensions = await self._image_sandbox(spec, log_stream, held)
            else:
                sandbox_spec, extensions = await self._zip_sandbox(spec, log_stream, held)
            timings["code"] = (time.monotonic() - started) * 1000
            volume = await self._driver.create_volume(spec.ephemeral_mb)
            held.push_async_callback(volume.close)
            return NodeProvision(sandbox_spec, _cpus(spec), volume, held.pop_all(), extensions)

    async def provision_restored(
        self, spec: EnvironmentSpec, log_stream: str, timings: dict[str, float], snapshot: Snapshot
    ) -> NodeProvision:
        """What a fork of a snapshot needs besides it: /tmp, and what is new in its environment."""
        timings["code"] = 0.0
        async with AsyncExitStack() as held:
            volume = await snapshot.create_volume()
            held.push_async_callback(volume.close)
            restored = restored_environment(spec, log_stream=log_stream, access=self._access)
            sandbox_spec = SandboxSpec(start=Restore(snapshot.name), environment=restored, **_limits(spec))
            return NodeProvision(sandbox_spec, _cpus(spec), volume, held.pop_all())

    async def forget(self, key: str) -> None:
        if self._images is not None:
            await self._images.forget(key)

    def why_not_forked(self, spec: EnvironmentSpec) -> str:
        if spec.image is not None:
            return "functions from images start as they are"
        if spec.runtime is None or not spec.runtime.startswith("python"):
            return f"{spec.runtime} cannot be forked; Python can"
        if self._catalogue.check(spec.runtime) is not None:
            return f"{spec.runtime} is not on this host"
        return ""

    async def _zip_sandbox(
        self, spec: EnvironmentSpec, log_stream: str, held: AsyncExitStack
    ) -> tuple[SandboxSpec, tuple[str, ...]]:
        """A function from a zip, with its layers, under a runtime of this host."""
        directories = []
        assert spec.code is not None
        for code in (spec.code, *spec.layers):
            try:
                directories.append(await self._code.acquire(code))
            except (BlobNotFound, BlobDamaged) as error:
                raise ProvisionError("InvalidZipFileException", str(error)) from error
            held.callback(self._code.release, code)
        runtime = await self._runtime(spec)
        start = prepare_start(
            runtime,
            spec,
            task_dir=directories[0],
            layer_dirs=tuple(directories[1:]),
            log_stream=log_stream,
            access=self._access,
            zygotes=self._zygotes.names,
            initialization_type=spec.initialization_type,
        )
        if isinstance(start, InvalidEntrypoint):
            raise StartError("Runtime.InvalidEntrypoint", start.message)
        sandbox_spec = SandboxSpec(
            start=start.start,
            root=self._root.spec,
            mounts=self._root.mounts(runtime, start.mounts),
            environment=start.environment,
            working_directory=start.working_directory,
            **_limits(spec),
        )
        return sandbox_spec, find_layer_extensions(directories[1:])

    async def _image_sandbox(
        self, spec: EnvironmentSpec, log_stream: str, held: AsyncExitStack
    ) -> tuple[SandboxSpec, tuple[str, ...]]:
        """A function from a container image, whose files are the root and are fetched as they are read."""
        image = spec.image
        assert image is not None
        if self._images is None:
            raise ProvisionError("ServiceException", "Container images need root: run lambdad as root.")
        argv = (*image.entry_point, *image.command)
        if not argv:
            raise StartError("Runtime.InvalidEntrypoint", "The image has neither an entry point nor a command.")
        mounted = await self._images.acquire(spec)
        held.push_async_callback(self._images.release, mounted)
        extensions = await asyncio.to_thread(find_image_extensions, str(mounted.root))  # reads from the image
        sandbox_spec = SandboxSpec(
            start=Exec(argv),
            root=DirectoryRoot(str(mounted.root)),
            environment=build_environment(
                None,
                spec,
                log_stream=log_stream,
                access=self._access,
                initialization_type=spec.initialization_type,
            ),
            working_directory=image.working_directory or "/",
            **_limits(spec),
        )
        return sandbox_spec, extensions

    async def _runtime(self, spec: EnvironmentSpec) -> Runtime:
        assert spec.runtime is not None
        try:
            runtime = self._catalogue.get(spec.runtime)
        except RuntimeMissing as error:
            raise ProvisionError("InvalidRuntimeException", str(error)) from error
        problem = self._root.why_not(runtime) or await self._catalogue.ensure(spec.runtime)
        if problem is not None:
            raise ProvisionError("InvalidRuntimeException", problem)
        await self._zygotes.ensure(runtime)
        return runtime

    def function_log(self, spec: EnvironmentSpec) -> FunctionLog:
        return self._open_log(RestoredLog if spec.initialization_type == SNAP_START else EnvironmentLog, spec)

    def init_log(self, spec: EnvironmentSpec) -> EnvironmentLog:
        """The log of a snapshot's init phase."""
        return self._open_log(EnvironmentLog, spec)

    def _open_log(self, kind: type[EnvironmentLog], spec: EnvironmentSpec) -> EnvironmentLog:
        stream = stream_name(_now_ms(), spec.version, uuid.uuid4().hex)
        writer = self._logs.open(spec.namespace, spec.log_group or f"/aws/lambda/{spec.function_name}", stream)
        return kind(spec, stream, writer, self._runtime_version(spec.runtime), _now_ms)

    def _runtime_version(self, identifier: str | None) -> str | None:
        """How INIT_START names a managed runtime: `python:3.11`, and `nodejs:20 in place of nodejs:22`."""
        if identifier is None or self._catalogue.check(identifier) is not None:
            return None
        asked, given = _shown_version(identifier), _shown_version(self._catalogue.get(identifier).identifier)
        return given if asked == given else f"{given} in place of {asked}"

    def flush_logs(self) -> None:
        self._logs.flush()


class _Limits(TypedDict):
    memory_bytes: int
    cpus: float
    pids: int
    files: int
    egress: str


def _limits(spec: EnvironmentSpec) -> _Limits:
    """The members of a `SandboxSpec` that bound it."""
    return {
        "memory_bytes": spec.memory_mb * MEGABYTE,
        "cpus": max(_cpus(spec), INIT_CPUS),
        "pids": PROCESSES_MAX,
        "files": FILES_MAX,
        "egress": spec.egress,
    }


def _cpus(spec: EnvironmentSpec) -> float:
    """AWS's share of CPU time for a function's memory."""
    return spec.memory_mb / MEMORY_MB_PER_VCPU


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _shown_version(identifier: str) -> str | None:
    """`python:3.11`, `nodejs:20`; None for `provided`."""
    for family in ("python", "nodejs"):
        if identifier.startswith(family):
            return f"{family}:{identifier.removeprefix(family).removesuffix('.x')}"
    return None
