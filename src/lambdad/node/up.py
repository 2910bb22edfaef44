"""`lambdad up`: one command, two processes under it.

The supervisor owns the listening port and the lock on the data directory, starts the worker (which has the privileges)
and the API (which has none), restarts the one that dies, and ends both in order. It runs no code of anybody else and
speaks with nobody.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from lambdad.identity.keys import KeyFile, KeysError
from lambdad.node.chunk_tiers import store_of
from lambdad.node.config import Config, ConfigError
from lambdad.node.paths import Paths
from lambdad.node.privileges import prepare_directories
from lambdad.telemetry.log import Logger, configure

READY = b"ready\n"
START_TIMEOUT_S = 60.0
RESTART_PAUSE_S = (0.0, 0.2, 1.0, 5.0)
"""Pause before the first, second, ... restart in a row; the last goes on."""
STABLE_S = 30.0
"""A process that has lived for so long has not failed in a row."""


class StartupError(Exception):
    """lambdad cannot start; the text says why and what to do."""


def run(config: Config, ready: Callable[[Config], None] = lambda config: None) -> int:
    """Run a node until it is told to end; the exit status of the command.

    ready: called once, when the node answers, with the port that it has. It must not take long.
    """
    log = configure(config.log_level, as_json=config.json_logs, name="up")
    try:
        return asyncio.run(_Supervisor(config, log, ready).run())
    except (StartupError, ConfigError) as error:
        print(f"lambdad: {error}", file=sys.stderr)  # noqa: T201
        return 1


@dataclass(slots=True)
class _Child:
    """A process of this node. role: `worker` or `api`."""

    role: str
    process: asyncio.subprocess.Process
    started: float


class _Supervisor:
    def __init__(self, config: Config, log: Logger, ready: Callable[[Config], None]) -> None:
        self._config = config
        self._log = log
        self._ready = ready
        self._stop = asyncio.Event()
        self._listener: socket.socket | None = None

    async def run(self) -> int:
        lock = _prepare(self._config)
        try:
            self._listener = _listen(self._config)
            port = self._listener.getsockname()[1]
            self._config = replace(self._config, port=port)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._stop.set)
            return await self._supervise()
        finally:
            if self._listener is not None:
                self._listener.close()
            os.close(lock)

    async def _supervise(self) -> int:
        worker = await self._start("worker")
        try:
            api = await self._start("api")
        except StartupError:
            await self._end(worker)
            raise
        _announce(self._config)
        self._ready(self._config)
        children = {"worker": worker, "api": api}
        try:
            async with asyncio.TaskGroup() as group:
                watchers = [group.create_task(self._watch(children, role)) for role in children]
                await self._stop.wait()
                for watcher in watchers:
                    watcher.cancel()
        finally:
            self._log.info("node.stopping")
            await self._end(children["api"])
            await self._end(children["worker"])
        self._log.info("node.stopped")
        return 0

    async def _watch(self, children: dict[str, _Child], role: str) -> None:
        """Keep one process running."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            child = children[role]
            status = await child.process.wait()
            failures = 0 if loop.time() - child.started > STABLE_S else failures + 1
            self._log.error("process.died", role=role, status=status)
            await asyncio.sleep(RESTART_PAUSE_S[min(failures, len(RESTART_PAUSE_S) - 1)])
            try:
                children[role] = await self._start(role)
            except StartupError as error:
                self._log.error("process.restart_failed", role=role, error=str(error))
                child.started = loop.time()

    async def _start(self, role: str) -> _Child:
        """Start a process of this node, and wait until it says that it is ready."""
        ready_in, ready_out = os.pipe()
        fds = [ready_out]
        arguments = [sys.executable, "-m", f"lambdad.node.{role}", str(ready_out)]
        if role == "api":
            assert self._listener is not None
            fds.append(self._listener.fileno())
            arguments.append(str(self._listener.fileno()))
        loop = asyncio.get_running_loop()
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments, stdin=asyncio.subprocess.PIPE, pass_fds=fds, start_new_session=True
            )
        finally:
            os.close(ready_out)
        child = _Child(role, process, loop.time())
        try:
            assert process.stdin is not None
            process.stdin.write(self._config.to_json().encode())
            process.stdin.close()
            async with asyncio.timeout(START_TIMEOUT_S):
                if await _read_line(loop, ready_in) != READY:
                    await process.wait()  # a signal would only come between it and its end
                    raise StartupError(f"the {role} process ended before it was ready; the lines above tell why")
        except TimeoutError:
            await self._end(child)
            raise StartupError(f"the {role} process was not ready after {START_TIMEOUT_S:.0f} seconds") from None
        except (StartupError, asyncio.CancelledError, ConnectionError):
            await self._end(child)
            raise
        finally:
            os.close(ready_in)
        return child

    async def _end(self, child: _Child) -> None:
        """SIGTERM, time to drain, SIGKILL."""
        process = child.process
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(self._config.drain + 15.0):
                await process.wait()
        except TimeoutError:
            self._log.error("process.killed", role=child.role)
            process.kill()
            await process.wait()


async def _read_line(loop: asyncio.AbstractEventLoop, fd: int) -> bytes:
    """What comes through a pipe up to the first line end or its close."""
    received = bytearray()
    done: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        data = os.read(fd, 64)
        received.extend(data)
        if not data or b"\n" in received:
            loop.remove_reader(fd)
            if not done.done():
                done.set_result(None)

    loop.add_reader(fd, readable)
    try:
        await done
    finally:
        loop.remove_reader(fd)
    return bytes(received)


def _prepare(config: Config) -> int:
    """Make the data directory and lock it. Returns the lock's descriptor."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        run = config.data_dir / "run"
        run.mkdir(exist_ok=True)
        lock = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(
            f"cannot use the data directory {config.data_dir}: {error.strerror}. Choose another with --data-dir."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StartupError(
            f"another lambdad uses the data directory {config.data_dir}. Stop it, or choose another with --data-dir."
        ) from None
    prepare_directories(config)
    try:
        config.check_keys(len(KeyFile(Paths(config.data_dir).access_keys).all()))
        store_of(config)
    except (KeysError, ConfigError) as error:
        os.close(lock)
        raise StartupError(str(error)) from None
    return lock


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise StartupError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}. Choose another port with --port."
        ) from error
    listener.listen(4096)
    listener.setblocking(False)
    return listener


def _announce(config: Config, write: Callable[[str], object] = sys.stdout.write) -> None:
    endpoint = f"http://{config.host}:{config.port}"
    write(
        f"lambdad is ready on {endpoint}, data in {config.data_dir}\n\n"
        "For boto3, the AWS CLI, Terraform, SAM:\n"
        f"  export AWS_ENDPOINT_URL_LAMBDA={endpoint}\n"
        f"  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={config.region}\n\n"
        "Press Ctrl-C to stop.\n"
    )
    sys.stdout.flush()
