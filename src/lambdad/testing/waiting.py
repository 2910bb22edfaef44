"""Waiting for something that sends no event: polling, with a deadline and a name for what did not come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_POLL_SECONDS = 0.02


def wait_until(is_true: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    """Return when `is_true()` is. timeout: seconds, then `TimeoutError` names `what`."""
    deadline = time.monotonic() + timeout
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}")
        time.sleep(_POLL_SECONDS)


async def wait_until_async(is_true: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    """`wait_until` that lets the event loop run meanwhile."""
    deadline = time.monotonic() + timeout
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)
