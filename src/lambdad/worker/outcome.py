"""How an invocation went, measured: values that the life of an environment hands to its log. Pure.

Milliseconds count from the moment in which the invocation was given to the environment.
"""

from __future__ import annotations

from dataclasses import dataclass

from lambdad.worker.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The end of an invocation for its runtime.

    fault: set unless the function succeeded. size: bytes of the response. latency_ms: until the response began;
    response_ms: how long it lasted; a response that is not streamed is seen when it is there as a whole. overhead_ms:
    from the response to the runtime's next request, None if that was not waited for. duration_ms: all of it.
    """

    fault: Fault | None
    size: int
    latency_ms: float
    response_ms: float
    overhead_ms: float | None
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What REPORT says. init_ms: of the init phase that was made for this invocation. extensions_ms: how long
    extensions were busy after the response, None if there are none. duration_ms: with theirs.
    """

    fault: Fault | None
    init_ms: float | None
    extensions_ms: float | None
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the runtime, or the sandbox in its place, made of an invocation. at: monotonic seconds."""

    payload: bytes
    fault: Fault | None
    at: float
    size: int
    latency_ms: float
    duration_ms: float

    def done(self, overhead_ms: float | None) -> Done:
        return Done(
            fault=self.fault,
            size=self.size,
            latency_ms=self.latency_ms,
            response_ms=self.duration_ms - self.latency_ms,
            overhead_ms=overhead_ms,
            duration_ms=self.duration_ms + (overhead_ms or 0.0),
        )
