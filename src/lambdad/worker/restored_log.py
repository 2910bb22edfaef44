"""The log of an environment that is restored from a snapshot: what its init phase is called, and what REPORT says."""

from __future__ import annotations

from lambdad.model.invocation import Invocation
from lambdad.telemetry.function_log import Report, RestoreReport, RestoreRuntimeDone, RestoreStart, Tracing
from lambdad.worker.faults import Fault
from lambdad.worker.function_log import EnvironmentLog


class RestoredLog(EnvironmentLog):
    """As `EnvironmentLog`. timed_out: whether the restore ended so."""

    timed_out = False

    def init_start(self, phase: str) -> None:
        spec = self._spec
        self.tell(
            RestoreStart(function_name=spec.function_name, version=spec.version, runtime_version=self._runtime_version)
        )

    def init_runtime_done(self, phase: str, status: str, error_type: str) -> None:
        self.tell(RestoreRuntimeDone(status=status, error_type=error_type or None))

    def init_done(self, phase: str, duration_ms: float, status: str, error_type: str) -> None:
        self.timed_out = status == "timeout"
        self._finish_line()
        self.init_runtime_done(phase, status, error_type)
        self.tell(RestoreReport(duration_ms=duration_ms, status=status, error_type=error_type or None))

    def report(
        self, invocation: Invocation, duration_ms: float, init_ms: float | None, fault: Fault | None, memory_mb: int
    ) -> None:
        self.tell(
            Report(
                request_id=invocation.request_id,
                duration_ms=duration_ms,
                memory_size_mb=self._spec.memory_mb,
                memory_used_mb=memory_mb,
                restore_ms=init_ms,
                status="success" if fault is None else fault.status,
                error_type=None if fault is None else fault.error_type,
                tracing=Tracing(value=invocation.trace_id) if invocation.trace_id else None,
            )
        )
