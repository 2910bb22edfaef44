"""The log of an environment that is restored from a snapshot: what its init phase is called, and what REPORT says."""

from __future__ import annotations

from lambdad.telemetry.function_log import RestoreReport, RestoreRuntimeDone, RestoreStart
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

    def _start_times(self, init_ms: float | None) -> tuple[float | None, float | None]:
        return None, None if self._spec.ahead else init_ms  # nobody waited for one that was ahead
