"""Where a runtime under test runs: as a plain process of this user, or behind the walls of a sandbox.

Rule: what a place starts it ends, with everything that came of it. Both give the runtime a Runtime API that nobody else
reaches by accident: a port of the loopback interface of its own, or of its sandbox's own network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, assert_never

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.limits import EPHEMERAL_DEFAULT_MB, FILES_MAX, MEGABYTE, PROCESSES_MAX
from lambdad.runtimes.environment import AwsAccess
from lambdad.runtimes.java_tree import CLASSES
from lambdad.runtimes.runtime import (
    TASK_DIRECTORY,
    JavaRuntime,
    NodeRuntime,
    ProvidedRuntime,
    PythonRuntime,
    RubyRuntime,
)
from lambdad.runtimes.start import InvalidEntrypoint, java_options, prepare_start, runtime_command
from lambdad.sandbox.interface import ExitStatus, Sandbox, SandboxDriver, StartError, Volume
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.spec import Exec, SandboxSpec
from lambdad.testing.runtime_subject import Subject

MEMORY_MB = 1024
_NAME = "conformance"
_TAIL = 2000


class Running(Protocol):
    """One process of the runtime. listener: of its Runtime API, not served yet. exited: never an exception."""

    listener: socket.socket
    exited: asyncio.Future[ExitStatus]

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def last_line(self) -> str:
        """Of what it wrote; empty if that is nothing."""
        ...

    async def end(self) -> None:
        """Kill it, and all that it started, without a word. Idempotent."""
        ...


class Place(Protocol):
    """The machine of one case: its processes find each other's files in /tmp, or where TMPDIR says."""

    async def start(self, variables: Mapping[str, str]) -> Running:
        """variables: besides those that Lambda sets. Raises OSError, `StartError`, `SandboxError`."""
        ...


class Places(Protocol):
    def open(self) -> AbstractAsyncContextManager[Place]:
        """A place for one case."""
        ...


class PlainPlaces:
    """No walls at all: test only a runtime that you would start yourself."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Place]:
        with tempfile.TemporaryDirectory(prefix="lambdad-conformance-") as scratch:
            yield _PlainPlace(self._subject, Path(scratch))


class _PlainPlace:
    def __init__(self, subject: Subject, scratch: Path) -> None:
        self._subject = subject
        self._scratch = scratch

    async def start(self, variables: Mapping[str, str]) -> Running:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        environment = _plain_environment(self._subject) | {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "TMPDIR": str(self._scratch),
            **variables,
        }
        log = self._scratch / "log"
        with contextlib.ExitStack() as undo:
            undo.callback(listener.close)
            process = _spawn(self._subject, environment, log)
            undo.callback(process.wait)
            undo.callback(process.kill)
            running = _PlainProcess(process, listener, log)
            undo.pop_all()
        return running


def _spawn(subject: Subject, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Returns when the program runs. Raises OSError."""
    with log.open("ab") as output:
        return subprocess.Popen(
            _plain_command(subject),
            cwd=subject.task,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


class _PlainProcess:
    """The leader of a process group. Implements `Running`."""

    def __init__(self, process: subprocess.Popen[bytes], listener: socket.socket, log: Path) -> None:
        loop = asyncio.get_running_loop()
        self.listener = listener
        self.exited: asyncio.Future[ExitStatus] = loop.create_future()
        self._process = process
        self._log = log
        self._loop = loop
        self._watch = os.pidfd_open(process.pid)
        loop.add_reader(self._watch, self._has_ended)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def last_line(self) -> str:
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - _TAIL))
            return _last_line(file.read())

    async def end(self) -> None:
        self._signal(signal.SIGKILL)
        await self.exited
        self.listener.close()

    def _signal(self, number: int) -> None:
        """To the whole group: it is there as long as one of it lives, though its leader be gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _has_ended(self) -> None:
        self._loop.remove_reader(self._watch)
        os.close(self._watch)
        code = self._process.wait()
        self.exited.set_result(ExitStatus(code, None) if code >= 0 else ExitStatus(None, -code))


class SandboxPlaces:
    """As the platform runs it: walls, user, limits, and nothing of this process's environment. Needs root."""

    def __init__(self, subject: Subject, driver: SandboxDriver, copies: Path) -> None:
        """copies: a directory for copies of the function and its layers that every user can read."""
        self._subject = subject
        self._driver = driver
        self._trees = [_readable_copy(tree, copies / str(n)) for n, tree in enumerate((subject.task, *subject.layers))]
        self._count = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Place]:
        volume = await self._driver.create_volume(EPHEMERAL_DEFAULT_MB)
        try:
            yield _SandboxPlace(self, volume)
        finally:
            await volume.close()

    async def launch(self, variables: Mapping[str, str], volume: Volume) -> Sandbox:
        self._count += 1
        return await self._driver.launch(f"{_NAME}-{self._count}", self._spec(variables), volume)

    def _spec(self, variables: Mapping[str, str]) -> SandboxSpec:
        task, *layers = self._trees
        start = prepare_start(
            self._subject.runtime,
            _environment_spec(self._subject, variables),
            task_dir=task,
            layer_dirs=tuple(layers),
            log_stream=_NAME,
            access=AwsAccess(),
        )
        if isinstance(start, InvalidEntrypoint):
            raise StartError("Runtime.InvalidEntrypoint", start.message)
        program = self._subject.program
        return SandboxSpec(
            start=start.start if program is None else Exec((f"{TASK_DIRECTORY}/{program.name}",)),
            mounts=start.mounts,
            environment={**start.environment, **variables},
            working_directory=start.working_directory,
            memory_bytes=MEMORY_MB * MEGABYTE,
            cpus=2.0,
            pids=PROCESSES_MAX,
            files=FILES_MAX,
        )


class _SandboxPlace:
    def __init__(self, places: SandboxPlaces, volume: Volume) -> None:
        self._places = places
        self._volume = volume

    async def start(self, variables: Mapping[str, str]) -> Running:
        return _Sandboxed(await self._places.launch(variables, self._volume))


class _Sandboxed:
    """Implements `Running`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.listener = sandbox.listener
        self.exited = sandbox.exited
        self._sandbox = sandbox
        self._loop = asyncio.get_running_loop()
        self._tail = b""
        self._is_read = True
        self._loop.add_reader(sandbox.output, self._read)

    def freeze(self) -> None:
        self._sandbox.freeze()

    def thaw(self) -> None:
        self._sandbox.thaw()

    def last_line(self) -> str:
        if self._is_read:
            self._read()
        return _last_line(self._tail)

    async def end(self) -> None:
        self._stop_reading()
        await self._sandbox.destroy()

    def _read(self) -> None:
        try:
            while data := os.read(self._sandbox.output, 65_536):
                self._tail = (self._tail + data)[-_TAIL:]
        except BlockingIOError:
            return
        self._stop_reading()

    def _stop_reading(self) -> None:
        if self._is_read:
            self._is_read = False
            self._loop.remove_reader(self._sandbox.output)


@contextlib.asynccontextmanager
async def sandbox_places(subject: Subject) -> AsyncIterator[SandboxPlaces]:
    """A sandbox driver of its own, for as long as this is open. Raises `SandboxError`."""
    with tempfile.TemporaryDirectory(prefix="lambdad-conformance-") as scratch:
        driver = NativeDriver(Path(scratch, "state"), prepared=1, snapshots=False)
        await driver.open()
        try:
            copies = Path(scratch, "copies")
            copies.mkdir()
            yield SandboxPlaces(subject, driver, copies)
        finally:
            await driver.close()


def _plain_command(subject: Subject) -> Sequence[str]:
    runtime = subject.runtime
    match runtime:
        case ProvidedRuntime():
            return (str(subject.program or subject.task / "bootstrap"),)
        case PythonRuntime():
            return (runtime.interpreter, "-S", f"{runtime.runtime_dir}/bootstrap.py")
        case JavaRuntime():
            return (runtime.interpreter, *java_options(MEMORY_MB, f"{runtime.runtime_dir}/{CLASSES}"))
        case RubyRuntime():
            return (runtime.interpreter, f"{runtime.runtime_dir}/bootstrap.rb")
        case NodeRuntime():
            command = runtime_command(runtime, MEMORY_MB)
            return (runtime.interpreter, *command[1:-1], f"{runtime.runtime_dir}/index.mjs")
        case _:
            assert_never(runtime)


def _plain_environment(subject: Subject) -> dict[str, str]:
    runtime = subject.runtime
    directory = "" if isinstance(runtime, ProvidedRuntime) else runtime.runtime_dir
    variables = {
        "AWS_LAMBDA_FUNCTION_NAME": _NAME,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{_NAME}",
        "AWS_LAMBDA_LOG_STREAM_NAME": _NAME,
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(subject.task),
        "LANG": "C.UTF-8",
        "PATH": os.environ.get("PATH", os.defpath),
        "_HANDLER": subject.handler,
    }
    if directory:
        variables |= {"LAMBDA_RUNTIME_DIR": directory, "NODE_PATH": f"{directory}/node_modules:{directory}"}
    return variables


def _environment_spec(subject: Subject, variables: Mapping[str, str]) -> EnvironmentSpec:
    return EnvironmentSpec(
        namespace=Namespace("000000000000", "us-east-1"),
        function_name=_NAME,
        version="$LATEST",
        revision="1",
        runtime=subject.runtime.identifier,
        handler=subject.handler,
        memory_mb=MEMORY_MB,
        timeout_s=900,
        ephemeral_mb=EPHEMERAL_DEFAULT_MB,
        architecture=os.uname().machine,
        environment=variables,
        code=None,
    )


def _readable_copy(tree: Path, target: Path) -> str:
    """Links are kept; what its owner may run, everybody may."""
    shutil.copytree(tree, target, symlinks=True)
    for directory, _, files in os.walk(target):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    return str(target)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""
