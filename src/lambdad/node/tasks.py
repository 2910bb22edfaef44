"""Where background tasks live: one group for each process, awaited by its main coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

from lambdad.telemetry.log import Logger


class Tasks:
    """A task group whose tasks may fail without taking the others along: a failure is logged, once, here."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Tasks:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until it ends, or until this group is left."""
        task = self._group.create_task(self._guard(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def repeat(self, work: Callable[[], Awaitable[None]], period: float, *, delay: float) -> None:
        """Run `work` now and then until this group is left; what it raises is logged, and its next turn comes.

        period, delay: seconds between two turns, and before the first.
        """
        self.spawn(self._repeat(work, period, delay))

    async def _repeat(self, work: Callable[[], Awaitable[None]], period: float, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            try:
                await work()
            except Exception as error:
                self._log.exception("task.failed", error, task=getattr(work, "__qualname__", repr(work)))
            await asyncio.sleep(period)

    async def _guard(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception as error:
            self._log.exception("task.failed", error, task=getattr(coroutine, "__qualname__", repr(coroutine)))
