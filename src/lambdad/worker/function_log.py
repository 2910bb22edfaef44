"""The log of one environment: the platform's lines and the function's, with a window on the last request.

Implements `environment_driver.FunctionLog`. `now_ms` gives milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lambdad.model.environment import EnvironmentSpec
from lambdad.model.invocation import Invocation
from lambdad.telemetry.function_log import (
    Event,
    InitReport,
    InitStart,
    InvokeStart,
    LogFormatter,
    Report,
    RuntimeDone,
    Tracing,
    parse_level,
)
from lambdad.telemetry.log_lines import LineSplitter, TailWindow
from lambdad.worker.faults import Fault


class Writer(Protocol):
    """Where records go."""

    def append(self, timestamp_ms: int, message: bytes) -> None: ...

    def close(self) -> None: ...


class EnvironmentLog:
    """runtime_version: as `INIT_START` names it, None where AWS has no such line."""

    __slots__ = ("_formatter", "_now_ms", "_runtime_version", "_spec", "_splitter", "_tail", "_writer", "stream")

    def __init__(
        self,
        spec: EnvironmentSpec,
        stream: str,
        writer: Writer,
        runtime_version: str | None,
        now_ms: Callable[[], int],
    ) -> None:
        self.stream = stream
        self._spec = spec
        self._writer = writer
        self._runtime_version = runtime_version
        self._now_ms = now_ms
        self._formatter = LogFormatter(spec.log_format, parse_level(spec.system_log_level))
        self._splitter = LineSplitter()
        self._tail = TailWindow()

    def init_start(self) -> None:
        self._tell(
            InitStart(
                function_name=self._spec.function_name,
                version=self._spec.version,
                runtime_version=self._runtime_version,
                memory_bytes=self._spec.memory_mb * 1024 * 1024,
            )
        )

    def init_report(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        self._finish_line()
        self._tell(InitReport(duration_ms=duration_ms, status=status, error_type=error_type or None, phase=phase))

    def start(self, invocation: Invocation) -> None:
        self._tail = TailWindow()
        tracing = Tracing(value=invocation.trace_id) if invocation.trace_id else None
        self._tell(InvokeStart(request_id=invocation.request_id, version=self._spec.version, tracing=tracing))

    def report(
        self, invocation: Invocation, duration_ms: float, init_ms: float | None, fault: Fault | None, memory_mb: int
    ) -> None:
        self._finish_line()
        status = "success" if fault is None else fault.status
        error_type = None if fault is None else fault.error_type
        tracing = Tracing(value=invocation.trace_id) if invocation.trace_id else None
        self._tell(
            RuntimeDone(
                request_id=invocation.request_id,
                duration_ms=duration_ms,
                status=status,
                error_type=error_type,
                tracing=tracing,
            )
        )
        self._tell(
            Report(
                request_id=invocation.request_id,
                duration_ms=duration_ms,
                memory_size_mb=self._spec.memory_mb,
                memory_used_mb=memory_mb,
                init_ms=init_ms if self._spec.initialization_type == "on-demand" else None,  # nobody waited for it
                status=status,
                error_type=error_type,
                tracing=tracing,
            )
        )

    def output(self, data: bytes) -> None:
        now_ms = self._now_ms()
        for record in self._splitter.feed(data):
            self._append(now_ms, record)

    def tail(self) -> bytes:
        return self._tail.value()

    def close(self) -> None:
        self._finish_line()
        self._writer.close()

    def _finish_line(self) -> None:
        """What was written without a line end belongs to the request that wrote it."""
        for record in self._splitter.finish():
            self._append(self._now_ms(), record)

    def _tell(self, event: Event) -> None:
        now_ms = self._now_ms()
        record = self._formatter.format(event, now_ms)
        if record is not None:
            self._append(now_ms, record)

    def _append(self, now_ms: int, record: bytes) -> None:
        self._tail.append(record)
        self._writer.append(now_ms, record)
