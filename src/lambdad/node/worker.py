"""The worker process: the only one with privileges. It makes sandboxes and runs functions in them, and nothing else."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lambdad.layers.provide import CodeStore
from lambdad.linux import syscalls
from lambdad.model.clock import SystemClock
from lambdad.model.limits import MEGABYTE
from lambdad.node.chunk_tiers import tiers_of
from lambdad.node.config import Config
from lambdad.node.function_endpoints import EndpointError, FunctionEndpoints, plan_endpoints
from lambdad.node.images import WorkerImages
from lambdad.node.paths import Paths, SocketPlace
from lambdad.node.privileges import api_identity
from lambdad.node.process import CannotServe, run
from lambdad.node.provision import NodeProvisioner, ZygoteHost
from lambdad.node.tasks import Tasks
from lambdad.node.zip_root import BaseUnusable, ZipRoot
from lambdad.runtimes.catalogue import Catalogue, discover
from lambdad.runtimes.environment import AwsAccess
from lambdad.sandbox.doors import Doors
from lambdad.sandbox.firewall import parse_allowed
from lambdad.sandbox.interface import SandboxDriver, SandboxError
from lambdad.sandbox.native import NativeDriver
from lambdad.store.blobs import DirectoryBlobs
from lambdad.telemetry.log import Logger
from lambdad.telemetry.log_groups import read_floor
from lambdad.telemetry.log_store import SWEEP_S as LOG_SWEEP_S
from lambdad.telemetry.log_store import LogStore
from lambdad.worker.interface import WorkerInfo
from lambdad.worker.server import WorkerConnection
from lambdad.worker.service import WorkerPolicy, WorkerService

FILES_WANTED = 65_536
"""Descriptors: an idle sandbox takes about six."""


async def serve(config: Config, log: Logger, ready: Callable[[], None]) -> None:
    """Run the worker process until cancelled, then end every sandbox."""
    _raise_file_limit()
    paths = Paths(config.data_dir)
    paths.make_worker()
    catalogue = await asyncio.to_thread(discover, paths.worker / "runtimes", choice=config.runtimes)
    try:
        root = ZipRoot(Path(config.base) if config.base else None)
        endpoints = await asyncio.to_thread(
            plan_endpoints,
            config.function_endpoints,
            node=(config.host, config.port),
            shares_network=config.egress == "host",
        )
    except BaseUnusable as error:
        raise CannotServe(str(error)) from error
    except EndpointError as error:
        raise CannotServe(f"function_endpoints: {error}") from error
    driver = NativeDriver(
        paths.worker / "sandboxes",
        prepared=config.prepared,
        snapshots=config.snapstart,
        egress=config.egress,
        allowed=[parse_allowed(text) for text in config.egress_allow],
        doors=Doors(endpoints.upstreams),
    )
    try:
        await driver.open()
    except SandboxError as error:
        raise CannotServe(str(error)) from error
    try:
        with ThreadPoolExecutor(2, "code") as executor:
            code = CodeStore(paths.worker / "code", DirectoryBlobs(paths.blobs), executor)
            await code.open()
            await _serve(config, paths, driver, catalogue, code, root, endpoints, log, ready)
    finally:
        await driver.close()


async def _serve(
    config: Config,
    paths: Paths,
    driver: SandboxDriver,
    catalogue: Catalogue,
    code: CodeStore,
    root: ZipRoot,
    endpoints: FunctionEndpoints,
    log: Logger,
    ready: Callable[[], None],
) -> None:
    clock = SystemClock()
    logs = LogStore(paths.logs, floor=lambda group: read_floor(paths.log_groups, group, int(clock.time() * 1000)))
    images = WorkerImages(paths, tiers_of(config), SystemClock()) if os.geteuid() == 0 else None
    if images is not None:
        await images.open()
    try:
        async with Tasks(log) as tasks:
            provisioner = NodeProvisioner(
                driver,
                catalogue,
                code,
                logs,
                # A zygote has the host's libraries loaded, which must not be mixed with those of a base.
                ZygoteHost(driver, enabled=config.zygotes and not root.is_base),
                images,
                root,
                AwsAccess(endpoints=endpoints.variables),
            )
            policy = WorkerPolicy(
                keep_alive=config.keep_alive,
                freeze_after=config.freeze_after,
                memory_reserve=config.memory_reserve * MEGABYTE,
                init_timeout=config.init_timeout,
            )
            service = WorkerService(driver, provisioner, policy, tasks.spawn, log, memory_available)
            info = WorkerInfo(catalogue.identifiers(), driver.weaknesses, os.getpid())
            if images is not None:
                images.on_lost = service.stop_images
            callers = frozenset({os.geteuid(), api_identity(config)[0]})
            place = SocketPlace(paths)
            Path(place.path).unlink(missing_ok=True)
            server = await asyncio.get_running_loop().create_unix_server(
                lambda: WorkerConnection(service, info, callers, log), place.path
            )
            os.chown(place.path, *api_identity(config))
            Path(place.path).chmod(0o600)
            tasks.spawn(service.run())
            tasks.repeat(partial(asyncio.to_thread, logs.sweep), LOG_SWEEP_S, delay=0.0)
            for weakness in driver.weaknesses:
                log.warning("sandbox.weakness", what=weakness)
            log.info("worker.ready", runtimes=",".join(info.runtimes), pid=info.pid)
            ready()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()
                Path(place.path).unlink(missing_ok=True)
                place.close()
                service.stop_all()
                await service.drained()
    finally:
        logs.close()
        if images is not None:
            await images.close()


def memory_available() -> int:
    """Bytes that can still be used without swapping. Source: MemAvailable of /proc/meminfo."""
    with open("/proc/meminfo") as meminfo:
        for line in meminfo:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62


def _raise_file_limit() -> None:
    """As many descriptors as we want, or as many as we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, FILES_WANTED), max(hard, FILES_WANTED)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leave_mounts_to_ourselves(config: Config) -> None:
    """Whatever the worker mounts is seen by nobody else, and goes when its last process goes, however it ends."""
    if os.geteuid() == 0:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)


if __name__ == "__main__":
    sys.exit(run("worker", serve, _leave_mounts_to_ourselves))
