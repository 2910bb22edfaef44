"""Work that goes on for as long as a block of code does, and no longer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def running(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run `work()` beside the block, and cancel it at the end.

    What the block raises is raised as it is: a bare TaskGroup would wrap it in a group, and no caller's `except` for
    one of our errors would match. If `work` itself fails, the block is cancelled and the failure comes as a group.
    """
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        try:
            yield
        except BaseException as error:
            failure = error
        finally:
            task.cancel()
    if failure is not None:
        raise failure
