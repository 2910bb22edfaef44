"""Logs go when their time is over, also where nobody writes or reads any more: every group is looked through each hour.

What may go is the stores' to know. One task in each process that owns log files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PERIOD_S = 3600.0
"""CloudWatch takes up to three days with what has expired."""


async def sweep_logs(sweep: Callable[[], None], period: float = PERIOD_S) -> None:
    """Run `sweep`, which blocks, now and then for ever. period: seconds between two of them."""
    while True:
        await asyncio.to_thread(sweep)
        await asyncio.sleep(period)
