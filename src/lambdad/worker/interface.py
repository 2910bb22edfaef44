"""What placement may ask of a worker, as values. The same messages go over a unix socket today and TLS tomorrow.

A worker owns the life of its sandboxes; placement owns the choice among them. Placement names a sandbox when it asks
for it (`start`), so that every later message needs only that name. The worker may end a sandbox at any time (idle,
memory pressure, crash) and says so with `gone`; an `invoke` that crosses with it is answered `SandboxGone`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lambdad.model.environment import Code, EnvironmentSpec
from lambdad.model.invocation import Invocation, InvocationResult


class WorkerUnavailable(Exception):
    """The worker is not connected, or went away before it answered."""


class SandboxGone(Exception):
    """The sandbox ended before it saw the invocation: try another one."""


class StartFailed(Exception):
    """The host could not make a sandbox (a bad function is not this: its errors come with its invokes).

    code: AWS's exception name for the caller, such as `InvalidRuntimeException` or `ServiceException`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Started:
    """A sandbox is ready for its first invocation. timings: milliseconds by phase: `sandbox`, `code`, `init`."""

    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker says of itself when it connects."""

    runtimes: tuple[str, ...]
    weaknesses: tuple[str, ...]
    pid: int


Answer = Callable[[InvocationResult | SandboxGone | WorkerUnavailable], None]

Credit = Callable[[int], None]
"""Tells a function's sandbox that so many bytes of its streamed response have gone on."""


class StreamSink(Protocol):
    """Takes a response that comes in pieces. The invocation's `Answer` is called after the last one."""

    def opened(self, content_type: str, credit: Credit) -> None:
        """The response begins. Unless `credit` is called for what has gone on, the function is held back."""
        ...

    def piece(self, data: bytes) -> None: ...


class WorkerPort(Protocol):
    """One worker as its callers see it."""

    on_gone: Callable[[str], None]
    """Called with a sandbox's name when the worker has ended it by itself."""

    on_free: Callable[[str, float], None]
    """Called with a sandbox's name when it takes invocations again after a result that lingers. Milliseconds: how long
    its extensions kept it busy beyond the answer.
    """

    on_lost: Callable[[], None]
    """Called when the worker itself went away, after every pending call has failed: all its sandboxes are gone."""

    async def start(self, sandbox_id: str, spec: EnvironmentSpec) -> Started: ...

    def invoke(self, sandbox_id: str, invocation: Invocation, done: Answer, sink: StreamSink | None = None) -> None:
        """Run one invocation. `done` is called once: with the result, `SandboxGone` or `WorkerUnavailable`.

        sink: where a streamed response goes if `invocation.streaming`; the result's payload is then empty, or the
        error.

        A callback and not a coroutine: this is the warm path, and a task costs a tenth of it.
        """
        ...

    def stop(self, sandbox_id: str) -> None:
        """End a sandbox; no answer."""
        ...

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        """Fetch and unpack ahead of the first start. Returns None, or why it cannot work, for the function's state."""
        ...
