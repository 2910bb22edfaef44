"""A control plane on a temporary directory, with the collaborators that tests steer, and without HTTP.

    async with open_plane(tmp_path) as plane:
        await plane.create("f")
        error = await plane.fails("GetFunction", FunctionName="g")

Every answer is checked against the service model.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from lambdad.control.app import ControlPlane
from lambdad.control.code_location import CodeLocations
from lambdad.control.interface import Call, ImageBuilder, Pollers, Provisioner, Quotas, S3Fetcher
from lambdad.model.arn import Namespace
from lambdad.model.environment import Code, SnapshotFailure
from lambdad.model.errors import ApiError
from lambdad.model.function import FunctionVersion
from lambdad.store.blobs import DirectoryBlobs
from lambdad.store.catalogue import Catalogue
from lambdad.store.metadata import SqliteStore
from lambdad.testing.shapes import check_answer

NAMESPACE = Namespace("123456789012", "eu-west-1")
ROLE = "arn:aws:iam::123456789012:role/execution"
NOW = 1_700_000_000.25
DEADLINE_S = 60.0


def make_zip(files: Mapping[str, str] | None = None) -> bytes:
    """A package; of one small handler if nothing is said."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (files or {"main.py": "def handler(event, context):\n    return event\n"}).items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


class SteeredPreparer:
    """Prepares at once, unless `hold` was called. reason: what it answers. prepared: what it was asked for."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.failure: Exception | None = None
        self.prepared: list[tuple[str | None, tuple[Code, ...]]] = []
        self.snapshot_failure: SnapshotFailure | None = None
        self.captured: list[FunctionVersion] = []
        self._go = asyncio.Event()
        self._go.set()

    def hold(self) -> None:
        """Keep everything that comes waiting until `release`."""
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        self.prepared.append((runtime, code))
        await self._go.wait()
        if self.failure is not None:
            raise self.failure
        return self.reason

    async def snapshot(self, version: FunctionVersion) -> SnapshotFailure | None:
        self.captured.append(version)
        await self._go.wait()
        return self.snapshot_failure


class HostWithout:
    """A RuntimeCheck of a host that has all runtimes but these."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing

    def check(self, runtime: str) -> str | None:
        return f"{runtime} is not on this host: install it." if runtime in self.missing else None


class Plane:
    """A control plane under test. now: what the clock of its calls says."""

    def __init__(
        self, control: ControlPlane, store: SqliteStore, catalogue: Catalogue, preparer: SteeredPreparer, root: Path
    ) -> None:
        self.control = control
        self.store = store
        self.catalogue = catalogue
        self.preparer = preparer
        self.blobs = DirectoryBlobs(root / "blobs")
        self.namespace = NAMESPACE
        self.now = NOW

    async def call(self, operation: str, **params: Any) -> dict[str, Any]:
        """The checked answer of an operation."""
        call = Call(namespace=self.namespace, request_id="request", base_url="http://127.0.0.1:9000", now=self.now)
        answer = await asyncio.wait_for(self.control.operations[operation](call, params), DEADLINE_S)
        check_answer(operation, answer)
        return dict(answer)

    async def fails(self, operation: str, **params: Any) -> tuple[str, int, str]:
        """(code, status, message) of the error that the operation ends with."""
        try:
            answer = await self.call(operation, **params)
        except ApiError as error:
            return error.code, error.status, error.message
        raise AssertionError(f"{operation} did not fail, it answered {answer}")

    async def create(self, name: str = "f", /, **params: Any) -> dict[str, Any]:
        """CreateFunction with ordinary parameters, and the wait until it is Active."""
        answer = await self.call("CreateFunction", **new_function(name, **params))
        await self.settle(name)
        return answer

    async def update(self, name: str = "f", /, **params: Any) -> dict[str, Any]:
        """UpdateFunctionConfiguration, and the wait until it is through."""
        answer = await self.call("UpdateFunctionConfiguration", FunctionName=name, **params)
        await self.settle(name)
        return answer

    async def settle(self, name: str = "f") -> None:
        assert await self.catalogue.settled(self.namespace, name, DEADLINE_S), f"{name} did not settle"


def new_function(name: str = "f", /, **params: Any) -> dict[str, Any]:
    """Parameters of CreateFunction. A parameter that is None is left out."""
    ordinary = {
        "FunctionName": name,
        "Role": ROLE,
        "Runtime": "python3.12",
        "Handler": "main.handler",
        "Code": {"ZipFile": make_zip()},
    }
    return {key: value for key, value in (ordinary | params).items() if value is not None}


@asynccontextmanager
async def open_plane(
    root: Path,
    *,
    missing_runtimes: tuple[str, ...] = (),
    quotas: Quotas | None = None,
    s3: S3Fetcher | None = None,
    images: ImageBuilder | None = None,
    provisioner: Provisioner | None = None,
    pollers: Pollers | None = None,
    patience_s: float = 0.0,
) -> AsyncIterator[Plane]:
    """A control plane on `root`, which may hold what an earlier one left. Background work is finished at the end."""
    store, catalogue, preparer = SqliteStore(root / "control.db"), Catalogue(), SteeredPreparer()
    async with AsyncExitStack() as held:
        await store.open()
        held.push_async_callback(store.close)
        await catalogue.open(store)
        executor = held.enter_context(ThreadPoolExecutor(2))
        async with asyncio.TaskGroup() as tasks:
            control = ControlPlane(
                store=store,
                catalogue=catalogue,
                blobs=DirectoryBlobs(root / "blobs"),
                executor=executor,
                locations=CodeLocations(b"a key for tests only"),
                preparer=preparer,
                runtimes=HostWithout(*missing_runtimes),
                spawn=_spawner(tasks),
                quotas=quotas,
                s3=s3,
                images=images,
                provisioner=provisioner,
                pollers=pollers,
                patience_s=patience_s,
            )
            yield Plane(control, store, catalogue, preparer, root)
            preparer.release()


def _spawner(tasks: asyncio.TaskGroup) -> Callable[[Coroutine[Any, Any, None]], None]:
    def spawn(work: Coroutine[Any, Any, None]) -> None:
        tasks.create_task(work)

    return spawn


def with_plane(**options: Any) -> Callable[[Callable[[Plane], Coroutine[Any, Any, None]]], Callable[[Path], None]]:
    """Makes a test of an async function that takes a Plane; `options` are those of `open_plane`."""

    def decorate(test: Callable[[Plane], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
        async def run(root: Path) -> None:
            async with open_plane(root, **options) as plane:
                await test(plane)

        def with_directory(tmp_path: Path) -> None:
            try:
                asyncio.run(run(tmp_path))
            except ExceptionGroup as group:
                if len(group.exceptions) > 1:
                    raise
                raise group.exceptions[0] from None

        with_directory.__name__ = test.__name__
        with_directory.__doc__ = test.__doc__
        return with_directory

    return decorate
