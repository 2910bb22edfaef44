"""The API process: control plane, frontend and placement in one event loop, without privileges."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lambdad
from lambdad.block.read_path import open_objects
from lambdad.control.app import ControlPlane, new_uuid
from lambdad.control.code_location import PATH_PREFIX, CodeLocations, load_key
from lambdad.control.idleness import Idleness
from lambdad.control.interface import Call, Handler, Quotas
from lambdad.control.roles import KEPT, any_role, kept_role
from lambdad.control.sweep import Sweep
from lambdad.events.service import EventService
from lambdad.frontend.desk import Desk
from lambdad.frontend.function_url import FunctionUrlFrontend
from lambdad.frontend.invoke import InvokeFrontend
from lambdad.frontend.invoke_async import invoke_async
from lambdad.frontend.pace import Pace
from lambdad.frontend.stream import StreamFrontend
from lambdad.frontend.trace import new_trace_id
from lambdad.identity.gate import Audience
from lambdad.model.arn import Namespace
from lambdad.model.clock import Clock, SystemClock
from lambdad.model.environment import Code, SnapshotFailure
from lambdad.model.errors import ApiError
from lambdad.model.function import FunctionVersion, environment_spec
from lambdad.model.limits import MEGABYTE
from lambdad.neighbours.service import Neighbours
from lambdad.node.chunk_tiers import store_of
from lambdad.node.config import Config
from lambdad.node.events import DELIVERY_THREADS, make_events
from lambdad.node.gate import GateOfNeighbours, GateOfUrls, make_gate
from lambdad.node.http_app import HttpApp, Operation, Page
from lambdad.node.image_builder import ChildImageBuilder
from lambdad.node.image_gc import ImageCollection, node_name
from lambdad.node.image_page import PATH as IMAGES_PATH
from lambdad.node.image_page import ImagePage
from lambdad.node.log_page import PREFIX as LOG_PREFIX
from lambdad.node.log_page import LogPage
from lambdad.node.observer import EventObserver
from lambdad.node.pages import CodePage, HealthPage, MetricsPage
from lambdad.node.paths import Paths, SocketPlace
from lambdad.node.privileges import drop
from lambdad.node.process import run
from lambdad.node.queue_page import PATH as QUEUE_PATH
from lambdad.node.queue_page import PREFIX as QUEUE_PREFIX
from lambdad.node.queue_page import QueuePage
from lambdad.node.tasks import Tasks
from lambdad.placement.counting import Limits
from lambdad.placement.provisioned import make_plan
from lambdad.placement.service import Placement
from lambdad.placement.view import count_environments, read_use
from lambdad.store.blobs import DirectoryBlobs
from lambdad.store.catalogue import Catalogue
from lambdad.store.event_queue_commits import SqliteEventQueue
from lambdad.store.metadata import SqliteStore
from lambdad.store.s3 import S3Packages, S3Settings
from lambdad.telemetry.concurrency_metrics import ConcurrencyMetrics
from lambdad.telemetry.event_metrics import EventMetrics
from lambdad.telemetry.log import Logger
from lambdad.telemetry.log_groups import CLIENT_LIMITS, LogGroups, read_floor
from lambdad.telemetry.log_store import SWEEP_S as LOG_SWEEP_S
from lambdad.telemetry.log_store import LogStore
from lambdad.telemetry.metrics import Metrics
from lambdad.wire.http import Request
from lambdad.wire.serialize import serialize_error
from lambdad.wire.server import HttpServer, ServerLimits
from lambdad.wire.service import load_service
from lambdad.worker.client import WorkerClient
from lambdad.worker.interface import WorkerInfo, WorkerUnavailable

RECONNECT_S = 0.1
SWEEP_S = 1.0
IDLE_SWEEP_S = 3600.0
"""How exactly it is known when a version was called last; more often if it may be idle for less than some hours."""
PACKAGE_SWEEP_S = 3600.0
SWITCH_INTERVAL_S = 0.0005
"""How long a thread that reads a large archive may keep the interpreter from the event loop."""


class _Runtimes:
    """What the worker says it can run, as `control.interface.RuntimeCheck` and `Preparer`."""

    def __init__(self, worker: WorkerClient, config: Config, log: Logger) -> None:
        self._worker = worker
        self._egress = config.egress
        self._has_snap_start = config.snapstart
        self._log = log
        self.snapshots: set[str] = set()
        """Keys of the specs that have one at the worker, or had."""
        self.info: WorkerInfo | None = None
        self.connected = asyncio.Event()

    def connect(self, info: WorkerInfo) -> None:
        """The worker is there, for the first time or again."""
        self.info = info
        self.connected.set()

    def describe(self) -> Mapping[str, object] | None:
        """For the health page; None before the worker is there."""
        if self.info is None or not self.connected.is_set():
            return None
        return {"runtimes": self.info.runtimes, "weaknesses": self.info.weaknesses, "version": lambdad.__version__}

    def check(self, runtime: str) -> str | None:
        """Every runtime of AWS's may be configured, as on AWS: a stack with one function that this host cannot run
        still deploys, and that function's invokes say what is missing and how to get it.
        """
        return None

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        """Waits for the worker: a function that is being created while it restarts is only late."""
        while True:
            await self.connected.wait()
            try:
                return await self._worker.prepare(runtime, code)
            except WorkerUnavailable:
                self.connected.clear()

    async def snapshot(self, version: FunctionVersion) -> SnapshotFailure | None:
        """As `prepare`."""
        spec = environment_spec(version, version.deployment, self._egress)
        while True:
            await self.connected.wait()
            try:
                failure = await self._worker.snapshot(spec)
            except WorkerUnavailable:
                self.connected.clear()
                continue
            self.snapshots.add(spec.key)
            if failure is None or failure.code or not self._has_snap_start:
                return failure
            self._log.info("snapshot.none", function=version.arn, why=failure.reason, instead="initialised ahead")
            return replace(failure, ahead=True)


async def serve(config: Config, log: Logger, ready: Callable[[], None]) -> None:
    """Run the API process until cancelled, then drain. The listening socket is the descriptor in `sys.argv[2]`."""
    listener = socket.socket(fileno=int(sys.argv[2]))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    paths = Paths(config.data_dir)
    paths.make_state()
    store = SqliteStore(paths.database)
    queue = SqliteEventQueue(paths.events_database)
    await store.open()
    await queue.open()
    worker = WorkerClient()
    try:
        with ThreadPoolExecutor(2, "control") as executor, ThreadPoolExecutor(DELIVERY_THREADS, "deliver") as deliver:
            async with Tasks(log) as tasks:
                node = _Node(config, paths, store, queue, worker, executor, deliver, tasks, log)
                await node.open(SocketPlace(paths))
                await node.serve(listener, ready)
    finally:
        worker.close()
        await queue.close()
        await store.close()


class _Node:
    """The object graph of this process."""

    def __init__(
        self,
        config: Config,
        paths: Paths,
        store: SqliteStore,
        queue: SqliteEventQueue,
        worker: WorkerClient,
        executor: Executor,
        deliver: Executor,
        tasks: Tasks,
        log: Logger,
    ) -> None:
        self._config = config
        self._store = store
        self._queue = queue
        self._worker = worker
        self._tasks = tasks
        self._log = log
        self._clock = SystemClock()
        self._runtimes = _Runtimes(worker, config, log)
        self._catalogue = Catalogue(egress=config.egress)
        call_later = asyncio.get_running_loop().call_later
        self._placement = Placement(worker, self._clock, tasks.spawn, call_later, _limits(config))
        self._collection = self._image_collection(paths)
        blobs = DirectoryBlobs(paths.blobs)
        locations = CodeLocations(load_key(paths.state / "location.key"))
        metrics = Metrics()
        ConcurrencyMetrics(metrics.registry, lambda: read_use(self._placement.state))
        self._observer = observer = EventObserver(metrics, EventMetrics(metrics.registry))
        self._placement.on_lingered = observer.lingered
        self._sweep = Sweep(store, blobs, executor)
        self._logs = _log_groups(paths, self._clock)
        self._control = self._control_plane(paths, blobs, locations, executor)
        self._events = make_events(
            config, paths, queue, self._catalogue, self._placement, observer, deliver, tasks, log
        )
        self._idleness = Idleness(
            store,
            self._control.deployments,
            tasks.spawn,
            new_uuid,
            after=config.inactive_after,
            reclaim=worker.forget,
        )
        self._catalogue.on_inactive = lambda version: self._idleness.wake(version, self._clock.time())
        if config.inactive_after:  # else nobody would ever read who was called
            observer.on_called = self._idleness.called
        app = self._http_app(paths, metrics, CodePage(blobs, locations, self._clock))
        self._server = HttpServer(app.handle, ServerLimits(), asyncio.get_running_loop())

    def _control_plane(
        self, paths: Paths, blobs: DirectoryBlobs, locations: CodeLocations, executor: Executor
    ) -> ControlPlane:
        return ControlPlane(
            store=self._store,
            blobs=blobs,
            catalogue=self._catalogue,
            executor=executor,
            locations=locations,
            preparer=self._runtimes,
            runtimes=self._runtimes,
            images=ChildImageBuilder(paths, store_of(self._config), self._config.docker_config),
            s3=S3Packages(_s3_settings(self._config), executor),
            spawn=self._tasks.spawn,
            quotas=_quotas(self._config),
            patience_s=self._config.change_wait,
            provisioner=self._placement,
            role_check=kept_role if self._config.roles == KEPT else any_role,
        )

    def _http_app(self, paths: Paths, metrics: Metrics, code: CodePage) -> HttpApp:
        gate = make_gate(self._config, paths, self._catalogue, self._clock)
        desk = Desk(
            resolver=self._catalogue,
            runner=self._placement,
            observer=self._observer,
            write_error=serialize_error,
            clock=self._clock,
            pace=_pace(self._config, self._clock),
        )
        frontend, streams = InvokeFrontend(desk, self._events), StreamFrontend(desk)
        urls = FunctionUrlFrontend(desk, self._catalogue, GateOfUrls(gate))
        pages = self._pages(paths, MetricsPage(metrics, self._observe_environments), code)
        operations = _operations(self._control.operations, self._config, self._clock)
        operations["InvokeAsync"] = _invoke_async(self._catalogue, self._events, self._clock)
        return HttpApp(
            load_service(),
            frontend,
            streams,
            urls,
            operations,
            pages,
            gate=gate,
            neighbours=Neighbours(
                self._logs, self._store, GateOfNeighbours(gate), self._tasks.spawn, self._log, self._clock.time
            ),
            spawn=self._tasks.spawn,
            log=self._log,
        )

    def _pages(self, paths: Paths, metrics: MetricsPage, code: CodePage) -> dict[str, tuple[Audience, Page]]:
        queue = QueuePage(self._events, self._tasks.spawn, self._log)
        return {
            "/metrics": (Audience.MACHINE, metrics),
            "/_lambdad/health": (Audience.EVERYBODY, HealthPage(self._runtimes.describe)),
            PATH_PREFIX: (Audience.EVERYBODY, code),  # its links are signed
            QUEUE_PATH: (Audience.ACCOUNT, queue),
            QUEUE_PREFIX: (Audience.ACCOUNT, queue),
            LOG_PREFIX: (Audience.ACCOUNT, LogPage(LogStore(paths.logs), self._log_group)),
            IMAGES_PATH: (Audience.ACCOUNT, ImagePage(self._collection, self._tasks.spawn, self._log)),
        }

    async def open(self, place: SocketPlace) -> None:
        """Read the store, find the worker, drive on what an earlier process left unfinished."""
        await self._catalogue.open(self._store)
        specs = self._catalogue.specs()
        self._runtimes.snapshots |= {spec.key for spec in specs if spec.initialization_type == "snap-start"}
        self._follow_changes()
        self._store.subscribe(lambda changes: self._follow_changes())
        self._worker.on_connected = self._connected
        self._tasks.spawn(_stay_connected(self._worker, place))
        await self._runtimes.connected.wait()
        await self._control.resume()
        self._tasks.spawn(self._queue.run())
        await self._events.open()
        self._tasks.spawn(self._events.run())

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Answer requests until cancelled."""
        await self._server.listen(listener)
        self._tasks.spawn(_sweep_connections(self._server))
        self._tasks.repeat(self._sweep_packages, PACKAGE_SWEEP_S, delay=PACKAGE_SWEEP_S)
        self._tasks.repeat(partial(asyncio.to_thread, self._logs.sweep), LOG_SWEEP_S, delay=0.0)
        if self._config.inactive_after:
            period = min(IDLE_SWEEP_S, self._config.inactive_after / 4)
            self._tasks.repeat(self._sweep_idle, period, delay=period)
        if self._config.chunk_collect:
            self._tasks.spawn(self._collection.run(self._config.chunk_collect))
        ready()
        self._log.info("api.ready", host=self._config.host, port=self._config.port, pid=os.getpid())
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._server.stop_listening()
            self._events.stop()
            await _drain(self._placement, self._config.drain)
            await self._events.drain(self._config.drain)
            self._server.abort()

    def _image_collection(self, paths: Paths) -> ImageCollection:
        objects = open_objects(store_of(self._config))
        name = node_name(paths.state / "name")
        return ImageCollection(objects, name, self._catalogue.specs, self._clock, self._log)

    def _observe_environments(self) -> None:
        self._observer.observe_environments(count_environments(self._placement.state))

    async def _sweep_packages(self) -> None:
        await self._sweep.run(self._clock.time())

    async def _sweep_idle(self) -> None:
        await self._idleness.sweep(self._clock.time())

    def _log_group(self, namespace: Namespace, name: str) -> str:
        """Where a function logs; where it would by default if it is gone."""
        try:
            group = self._catalogue.resolve(namespace, name, None, 0.0).spec.log_group
        except ApiError:
            group = ""
        return group or f"/aws/lambda/{name}"

    def _connected(self, info: WorkerInfo) -> None:
        self._runtimes.connect(info)
        self._placement.worker_ready()

    def _follow_changes(self) -> None:
        """End the sandboxes of specs that nothing resolves to any more; reserve and provision what is configured."""
        self._placement.configure(make_plan(self._catalogue))
        for key in self._placement.state.spec_keys():
            if not self._catalogue.runs(key):
                self._placement.retire(key)
        for key in [key for key in self._runtimes.snapshots if not self._catalogue.runs(key)]:
            self._runtimes.snapshots.discard(key)
            self._worker.forget(key)


def _operations(handlers: Mapping[str, Handler], config: Config, clock: Clock) -> dict[str, Operation]:
    """The control plane's handlers as the HTTP app calls them: who calls, and by which address, comes from HTTP."""

    def adapt(handler: Handler) -> Operation:
        async def operation(
            request: Request, namespace: Namespace, request_id: str, parameters: Mapping[str, Any]
        ) -> Mapping[str, Any]:
            host = request.headers.get("host") or f"{config.host}:{config.port}"
            call = Call(namespace=namespace, request_id=request_id, base_url=f"http://{host}", now=clock.time())
            return await handler(call, parameters)

        return operation

    return {name: adapt(handler) for name, handler in handlers.items()}


def _log_groups(paths: Paths, clock: SystemClock) -> LogGroups:
    def floor(group: Path) -> int:
        return read_floor(paths.log_groups, group, int(clock.time() * 1000))

    return LogGroups(LogStore(paths.logs), LogStore(paths.client_logs, CLIENT_LIMITS, floor), paths.log_groups)


def _quotas(config: Config) -> Quotas:
    return Quotas(
        concurrency=config.concurrency,
        unreserved_concurrency_min=config.unreserved_concurrency_min,
        code_storage=config.code_storage * MEGABYTE,
    )


def _pace(config: Config, clock: Clock) -> Pace | None:
    """How fast streamed responses go."""
    if not config.stream_rate:
        return None
    return Pace(config.stream_rate * MEGABYTE, clock.monotonic, asyncio.get_running_loop().call_later)


def _limits(config: Config) -> Limits:
    return Limits(
        concurrency=config.concurrency,
        request_rate=config.request_rate,
        scale_up=config.scale_up,
        patience=config.throttle_wait,
    )


def _s3_settings(config: Config) -> S3Settings:
    return S3Settings(
        endpoint=config.s3_endpoint or None,
        region=config.s3_region or config.region,
        access_key=config.s3_access_key or None,
        secret_key=config.s3_secret_key or None,
    )


def _invoke_async(catalogue: Catalogue, events: EventService, clock: Clock) -> Operation:
    async def operation(
        request: Request, namespace: Namespace, request_id: str, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        trace_id = request.headers.get("x-amzn-trace-id") or new_trace_id(clock.time())
        return await invoke_async(catalogue, events, namespace, request_id, parameters, trace_id)

    return operation


async def _stay_connected(worker: WorkerClient, place: SocketPlace) -> None:
    """Connect to the worker, and again when it was restarted."""
    while True:
        if not worker.is_connected:
            with contextlib.suppress(OSError):  # it is being restarted
                await worker.connect(place.path)
        await asyncio.sleep(RECONNECT_S)


async def _sweep_connections(server: HttpServer) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        server.sweep()


async def _drain(placement: Placement, seconds: float) -> None:
    """Let requests that run finish."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        counts = count_environments(placement.state)
        if not counts["busy"] and not counts["waiting"]:
            return
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    sys.exit(run("api", serve, drop))
