"""What a caller reads when a sandbox, not the function's own code, ends an invocation: AWS's error objects.

Source: recorded answers in reference/aws-lambda.md 2.2. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from lambdad.model.limits import PAYLOAD_RESPONSE_MAX, STREAM_RESPONSE_MAX


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the sandbox. status: what REPORT and telemetry call it: `timeout`, `error` or `failure`."""

    error_type: str
    message: str
    status: str = "error"

    def payload(self) -> bytes:
        return orjson.dumps({"errorType": self.error_type, "errorMessage": self.message})


def timed_out(request_id: str, timeout_s: float) -> Fault:
    message = f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds"
    return Fault("Sandbox.Timedout", message, "timeout")


def exited(request_id: str, *, clean: bool, description: str, out_of_memory: bool) -> Fault:
    """clean: exit status 0. description: `exit status 3`, `signal: killed`."""
    if out_of_memory:
        message = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
        return Fault("Runtime.OutOfMemory", message)
    if clean:
        return Fault("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited without providing a reason")
    return Fault("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: {description}")


def not_started(request_id: str, error_type: str, message: str) -> Fault:
    """The runtime process could not be started at all."""
    return Fault(error_type, f"RequestId: {request_id} Error: {message}")


def extension_failed(request_id: str, error_type: str, message: str) -> Fault:
    """message: how it ended: `exit code 0`, `exit status 3`, `fork/exec /opt/extensions/x: permission denied`."""
    return Fault(error_type, f"RequestId: {request_id} Error: {message}")


def response_too_large() -> Fault:
    message = f"Response payload size exceeded maximum allowed payload size ({PAYLOAD_RESPONSE_MAX} bytes)."
    return Fault("Function.ResponseSizeTooLarge", message)


def stream_too_large() -> Fault:
    message = f"Response payload size exceeded maximum allowed payload size ({STREAM_RESPONSE_MAX} bytes)."
    return Fault("Function.ResponseSizeTooLarge", message)


def truncated(request_id: str) -> Fault:
    """The runtime's connection ended in the middle of a streamed response."""
    return Fault("Runtime.TruncatedResponse", f"RequestId: {request_id} Error: Response was truncated")
