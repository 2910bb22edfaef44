"""The error objects of sandboxes."""

from __future__ import annotations

import json

from lambdad.worker import faults


def test_a_fault_is_aws_error_object() -> None:
    assert json.loads(faults.timed_out("r", 1).payload()) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: r Error: Task timed out after 1.00 seconds",
    }
    assert json.loads(faults.response_too_large().payload()) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }


def test_a_runtime_that_cannot_start_says_which_error_type() -> None:
    fault = faults.not_started(
        "r", "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [/var/task/bootstrap]"
    )
    assert fault.error_type == "Runtime.InvalidEntrypoint"
    assert fault.message == "RequestId: r Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap]"
