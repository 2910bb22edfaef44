"""One call of a function, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A request on its way to a sandbox.

    payload: the event, JSON text. invoked_arn: as the caller named it, with the qualifier.
    client_context: decoded JSON text, not base64. trace_id: value of X-Amzn-Trace-Id.
    """

    request_id: str
    payload: bytes
    invoked_arn: str
    client_context: str | None = None
    trace_id: str = ""
    tail: bool = False
    """Whether the caller wants the last 4 KiB of the log."""
    streaming: bool = False
    """Whether the caller takes the response in pieces, if the function gives it so; else they are collected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationResult:
    """What the sandbox made of an invocation.

    payload: the response, or the error object when `error` is set.
    error: None, or the value for X-Amz-Function-Error.
    error_type: None, or the kind for logs and metrics, such as `Sandbox.Timedout` or `Runtime.ExitError`.
    log_tail: the last 4 KiB of the log of this request, if asked for.
    timings: milliseconds by phase: `duration`, and in a cold start `sandbox`, `code`, `init`.
    lingers: whether the environment is busy beyond the answer, with its extensions.
    """

    payload: bytes
    error: str | None = None
    error_type: str | None = None
    log_tail: bytes = b""
    timings: Mapping[str, float] = field(default_factory=dict)
    memory_used_mb: int = 0
    lingers: bool = False
