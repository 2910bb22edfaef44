"""The init phase of one snapshot: runs it to its end, and says how it ended.

No invocation is there yet and none will be: what the process calls of the Runtime API besides `init/error` is wrong.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from lambdad.model.environment import SnapshotFailure
from lambdad.runtime_api.server import LIMITS, MODE_HEADER, RuntimeApi
from lambdad.sandbox.interface import ExitStatus, Snapshot
from lambdad.wire.http import BodyFlow
from lambdad.wire.server import HttpServer
from lambdad.worker.output import OutputReader

CANNOT_FORK = "The runtime asked for an invocation where it should have waited to be forked."


class InitLog(Protocol):
    """The log of one snapshot. stream: its name."""

    stream: str

    def init_start(self, phase: str) -> None: ...
    def init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None: ...
    def output(self, data: bytes) -> None: ...
    def close(self) -> None: ...


async def run_init(snapshot: Snapshot, log: InitLog, output: OutputReader, timeout_s: float) -> SnapshotFailure | None:
    """Returns when the process waits to be forked from, or has failed to."""
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[tuple[str, SnapshotFailure]] = loop.create_future()
    api = RuntimeApi(_Events(failed))
    server = HttpServer(api.handle, LIMITS, loop, api.open_body, MODE_HEADER)
    await server.listen(snapshot.sandbox.listener)
    began = time.monotonic()
    exited = snapshot.sandbox.exited
    try:
        waited = (asyncio.shield(snapshot.captured), failed, asyncio.shield(exited))
        await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for future in waited:
            future.cancel()
    finally:
        server.abort()
    duration_ms = (time.monotonic() - began) * 1000
    output.drain()
    if snapshot.captured.done():
        log.init_done("init", duration_ms, "success", "")
        return None
    if failed.done() and not failed.cancelled():
        error_type, failure = failed.result()
    elif exited.done():
        error_type, failure = _describe_exit(exited.result(), snapshot.sandbox.usage().oom_kills)
    else:
        log.init_done("init", duration_ms, "timeout", "")
        return SnapshotFailure(
            code="FunctionError.InitTimeout", reason=f"The init phase took more than {timeout_s:.0f} seconds."
        )
    log.init_done("init", duration_ms, "error", error_type)
    return failure


def _describe_exit(status: ExitStatus, oom_kills: int) -> tuple[str, SnapshotFailure]:
    if status.signal == 9 and oom_kills:
        text = "The init phase needed more memory than the function has."
        return "Runtime.OutOfMemory", SnapshotFailure(code="FunctionError.InitResourceExhausted", reason=text)
    text = f"The runtime ended in its init phase: {status.describe()}."
    return "Runtime.ExitError", SnapshotFailure(code="FunctionError.RuntimeInitError", reason=text)


class _Events:
    """Implements `RuntimeEvents`: whatever comes first and is no good ends the init phase."""

    def __init__(self, failed: asyncio.Future[tuple[str, SnapshotFailure]]) -> None:
        self._failed = failed

    def init_failed(self, payload: bytes, error_type: str) -> None:
        text = f"The init phase failed with {error_type}. The log of the function says more."
        self._fail(error_type, text)

    def ready(self) -> None:
        self._fail("Runtime.ExitError", CANNOT_FORK)

    def waits(self) -> None: ...

    def responded(self, payload: bytes) -> None:
        """Impossible before `ready`, and so are the others below."""

    def errored(self, payload: bytes, error_type: str) -> None: ...

    def response_too_large(self, size: int) -> None: ...

    def stream_opened(self, content_type: str, flow: BodyFlow) -> None: ...

    def stream_data(self, piece: bytes) -> None: ...

    def stream_ended(self) -> None: ...

    def stream_failed(self, payload: bytes, error_type: str) -> None: ...

    def stream_cut(self) -> None: ...

    def _fail(self, error_type: str, reason: str) -> None:
        if not self._failed.done():
            self._failed.set_result((error_type, SnapshotFailure(code="FunctionError.RuntimeInitError", reason=reason)))
