"""The log of one environment: the platform's lines and the function's, with a window on the last request.

Implements `environment_driver.FunctionLog`. `now_ms` gives milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from lambdad.model.environment import EnvironmentSpec
from lambdad.model.invocation import Invocation
from lambdad.telemetry.function_log import (
    Event,
    InitReport,
    InitRuntimeDone,
    InitStart,
    InvokeStart,
    Level,
    LogFormatter,
    Report,
    RuntimeDone,
    Span,
    Tracing,
    parse_level,
)
from lambdad.telemetry.hub import TelemetryHub
from lambdad.telemetry.log_lines import LineSplitter, TailWindow, level_of_record
from lambdad.worker.outcome import Done, Summary


class Writer(Protocol):
    """Where records go."""

    def append(self, timestamp_ms: int, message: bytes) -> None: ...

    def close(self) -> None: ...


class EnvironmentLog:
    """runtime_version: as `INIT_START` names it, None where AWS has no such line."""

    __slots__ = (
        "_extensions",
        "_formatter",
        "_hub",
        "_init_started",
        "_initialization_type",
        "_is_runtime_done",
        "_least",
        "_now_ms",
        "_runtime_version",
        "_spec",
        "_splitter",
        "_started_ms",
        "_tail",
        "_writer",
        "stream",
    )

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
        self._initialization_type = "snap-start" if spec.ahead else spec.initialization_type
        self._now_ms = now_ms
        self._formatter = LogFormatter(spec.log_format, parse_level(spec.system_log_level))
        self._least = parse_level(spec.application_log_level) if spec.log_format == "JSON" else Level.TRACE
        """Records of the function below it are not in the log. Text has no levels."""
        self._splitter = LineSplitter()
        self._extensions: dict[str, LineSplitter] = {}
        self._tail = TailWindow()
        self._hub: TelemetryHub | None = None
        self._init_started: tuple[InitStart, int] | None = None
        self._is_runtime_done = False
        self._started_ms = 0

    def attach(self, hub: TelemetryHub) -> None:
        """From now on, and of the beginning of this init phase, tell `hub`, too."""
        self._hub = hub
        if self._init_started is not None:
            hub.publish(*self._init_started)

    def detach(self) -> None:
        """What the extensions wrote without a line end is theirs; nobody listens any more."""
        now_ms = self._now_ms()
        for splitter in self._extensions.values():
            for record in splitter.finish():
                self._line("extension", record, now_ms)
        self._extensions.clear()
        self._hub = None

    def tell(self, event: Event) -> None:
        now_ms = self._now_ms()
        record = self._formatter.format(event, now_ms)
        if record is not None:
            self._append(now_ms, record)
        if self._hub is not None:
            self._hub.publish(event, now_ms)

    def init_start(self, phase: str) -> None:
        self._is_runtime_done = False
        event = InitStart(
            function_name=self._spec.function_name,
            version=self._spec.version,
            initialization_type=self._initialization_type,
            phase=phase,
            runtime_version=self._runtime_version,
            memory_bytes=self._spec.memory_mb * 1024 * 1024,
        )
        self._init_started = (event, self._now_ms())
        self.tell(event)

    def init_runtime_done(self, phase: str, status: str, error_type: str) -> None:
        if not self._is_runtime_done:
            self._is_runtime_done = True
            self.tell(
                InitRuntimeDone(
                    status=status,
                    error_type=error_type or None,
                    initialization_type=self._initialization_type,
                    phase=phase,
                )
            )

    def init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        self._finish_line()
        self._init_started = None
        self.init_runtime_done(phase, status, error_type)
        self.tell(
            InitReport(
                duration_ms=duration_ms,
                status=status,
                error_type=error_type or None,
                initialization_type=self._initialization_type,
                phase=phase,
            )
        )

    def start(self, invocation: Invocation) -> None:
        self._tail = TailWindow()
        self._started_ms = self._now_ms()
        tracing = Tracing(value=invocation.trace_id) if invocation.trace_id else None
        self.tell(InvokeStart(request_id=invocation.request_id, version=self._spec.version, tracing=tracing))

    def done(self, invocation: Invocation, done: Done) -> None:
        self._finish_line()
        parts = [
            ("responseLatency", done.latency_ms),
            ("responseDuration", done.response_ms),
            ("runtimeOverhead", done.overhead_ms),
        ]
        self.tell(
            RuntimeDone(
                request_id=invocation.request_id,
                duration_ms=done.duration_ms,
                status="success" if done.fault is None else done.fault.status,
                error_type=None if done.fault is None else done.fault.error_type,
                produced_bytes=done.size,
                tracing=Tracing(value=invocation.trace_id) if invocation.trace_id else None,
                spans=self._spans(parts, 0.0),
            )
        )

    def report(self, invocation: Invocation, summary: Summary, memory_mb: int) -> None:
        told_init_ms, restore_ms = self._start_times(summary.init_ms)
        fault, extensions_ms = summary.fault, summary.extensions_ms
        self.tell(
            Report(
                request_id=invocation.request_id,
                duration_ms=summary.duration_ms,
                memory_size_mb=self._spec.memory_mb,
                memory_used_mb=memory_mb,
                init_ms=told_init_ms,
                restore_ms=restore_ms,
                status="success" if fault is None else fault.status,
                error_type=None if fault is None else fault.error_type,
                tracing=Tracing(value=invocation.trace_id) if invocation.trace_id else None,
                spans=self._spans([("extensionOverhead", extensions_ms)], summary.duration_ms - (extensions_ms or 0.0)),
            )
        )

    def _start_times(self, init_ms: float | None) -> tuple[float | None, float | None]:
        """What REPORT tells of the start: its init phase, its restore."""
        return (init_ms if self._initialization_type == "on-demand" else None), None  # else nobody waited for it

    def output(self, data: bytes) -> None:
        now_ms = self._now_ms()
        for record in self._splitter.feed(data):
            self._line("function", record, now_ms)

    def extension_output(self, name: str, data: bytes) -> None:
        """What an extension wrote, in pieces as they came."""
        now_ms = self._now_ms()
        for record in self._extensions.setdefault(name, LineSplitter()).feed(data):
            self._line("extension", record, now_ms)

    def tail(self) -> bytes:
        return self._tail.value()

    def close(self) -> None:
        self._finish_line()
        self._writer.close()

    def _spans(self, parts: Iterable[tuple[str, float | None]], after_ms: float) -> tuple[Span, ...]:
        """Parts of the time of an invocation that follow each other, the first so long after its start.

        They are for whoever listens, and in the log as JSON; text does not show them.
        """
        if self._hub is None and self._formatter.log_format != "JSON":
            return ()
        spans, start_ms = [], self._started_ms + after_ms
        for name, duration_ms in parts:
            if duration_ms is not None:
                spans.append(Span(name, start_ms, duration_ms))
                start_ms += duration_ms
        return tuple(spans)

    def _finish_line(self) -> None:
        """What was written without a line end belongs to the request that wrote it."""
        for record in self._splitter.finish():
            self._line("function", record, self._now_ms())

    def _line(self, kind: str, record: bytes, now_ms: int) -> None:
        is_filtered = kind == "function" and self._least > Level.TRACE
        if not is_filtered or level_of_record(record) >= self._least:
            self._append(now_ms, record)
        if self._hub is not None:
            self._hub.line(kind, record, now_ms)

    def _append(self, now_ms: int, record: bytes) -> None:
        self._tail.append(record)
        self._writer.append(now_ms, record)
