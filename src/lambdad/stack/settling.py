"""Waiting for a function that is being made or changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lambdad.stack.errors import StackError

WAIT_S = 600.0
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Between two looks at a function; the last goes on."""


def wait_until_settled(
    client: Any, name: str, qualifier: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """The configuration of a function once nothing is going on. Raises StackError if that failed or takes too long."""
    request = {"FunctionName": name} | ({} if qualifier is None else {"Qualifier": qualifier})
    deadline = time.monotonic() + WAIT_S
    looks = 0
    while True:
        configuration: dict[str, Any] = client.get_function_configuration(**request)
        state, update = configuration.get("State", "Active"), configuration.get("LastUpdateStatus", "Successful")
        if state == "Failed" or update == "Failed":
            reason = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason")
            raise StackError(f"{name} failed: {reason or 'no reason given'}")
        if state not in ("Pending", "Deactivating") and update != "InProgress":
            return configuration
        if time.monotonic() > deadline:
            raise StackError(f"{name} is still {state} after {WAIT_S:.0f} s")
        sleep(_PAUSES_S[min(looks, len(_PAUSES_S) - 1)])
        looks += 1
