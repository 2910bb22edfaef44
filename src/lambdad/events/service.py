"""Asynchronous invocation as the rest of a node sees it: accept an event, work, stop, and what people ask and change.

A `202` is sent when the event is on disk. The queue has one owner: what was leased when an earlier process died is due
again at `open`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from lambdad.events.dispatcher import Dispatcher
from lambdad.events.event import Event, encode_event
from lambdad.events.policy import MAXIMUM_AGE_S
from lambdad.events.schedule import Limits
from lambdad.events.verdict import Handler
from lambdad.model.clock import Clock
from lambdad.model.errors import ApiError, service_error, throttled
from lambdad.model.invocation import Invocation
from lambdad.model.target import Target
from lambdad.store.event_queue import LANES, Entry, EventQueue, EventTable, Lane, Message, Selection, Usage
from lambdad.telemetry.log import Logger

SWEEP_S = 30.0


class Observer(Protocol):
    def event_received(self, function: str) -> None: ...

    def queue_counted(self, lane: Lane, usage: Usage) -> None:
        """Now and then."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """waiting, waiting_size: events and bytes of theirs beyond which none is accepted. dead, dead_size: how many, and
    how many bytes, of the given up are kept; the oldest go first.
    """

    waiting: int = 1_000_000
    waiting_size: int = 4 * 1024 * 1024 * 1024
    dead: int = 10_000
    dead_size: int = 256 * 1024 * 1024


class EventService:
    """The lanes of a node and the queue behind them."""

    def __init__(
        self,
        queue: EventQueue,
        handlers: dict[Lane, tuple[Handler, Limits]],
        observer: Observer,
        clock: Clock,
        log: Logger,
        capacity: Capacity | None = None,
    ) -> None:
        """clock: its `time` does not jump, see `SteadyClock`."""
        self._queue = queue
        self._observer = observer
        self._clock = clock
        self._log = log
        self._capacity = capacity or Capacity()
        self._dispatchers = {
            lane: Dispatcher(lane, queue, handler, limits, clock, log, self._announce)
            for lane, (handler, limits) in handlers.items()
        }
        self._unsettled = Usage()
        self._since = (0, 0)
        """Events, and bytes of theirs, put since `_unsettled` was counted."""

    async def open(self) -> None:
        """Take over what an earlier process left. Before the first `accept`."""
        now = self._clock.time()
        recovered = await self._queue.submit(lambda table: table.recover(now, now + MAXIMUM_AGE_S))
        if recovered:
            self._log.info("queue.recovered", count=recovered)
        await self._count()
        for dispatcher in self._dispatchers.values():
            await dispatcher.open()

    async def run(self) -> None:
        """Work, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for dispatcher in self._dispatchers.values():
                group.create_task(dispatcher.run())
            group.create_task(self._sweep())

    def stop(self) -> None:
        """Begin no attempt any more."""
        for dispatcher in self._dispatchers.values():
            dispatcher.stop()

    async def drain(self, seconds: float) -> None:
        """After `stop`: let attempts that run end and settle."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for dispatcher in self._dispatchers.values():
                    await dispatcher.quiet()

    # -- the frontend's Acceptor

    def accept(self, target: Target, invocation: Invocation, done: Callable[[ApiError | None], None]) -> None:
        """Put an event on disk. `done` is called once: with None when it is there, or why it is not.

        Raises `ApiError` when the queue is full.
        """
        count, size = self._since
        full = (
            self._unsettled.waiting + self._unsettled.leased + count >= self._capacity.waiting
            or self._unsettled.size + size + len(invocation.payload) > self._capacity.waiting_size
        )
        if full:
            raise throttled("CallerRateLimitExceeded", retry_after_s=int(SWEEP_S))
        self._since = (count + 1, size + len(invocation.payload))
        spec = target.spec
        event = Event(
            namespace=spec.namespace,
            function=spec.function_name,
            qualifier=target.qualifier,
            request_id=invocation.request_id,
            trace_id=invocation.trace_id,
            payload=invocation.payload,
            accepted=self._clock.time(),
        )
        message = encode_event(event)
        future = self._queue.submit(lambda table: table.put([message], message.accepted))
        future.add_done_callback(partial(self._accepted, message, spec.function_name, done))

    def _accepted(
        self,
        message: Message,
        function: str,
        done: Callable[[ApiError | None], None],
        future: asyncio.Future[None],
    ) -> None:
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            self._log.error("queue.failed", lane=message.lane, id=message.id, error=str(error))
            done(service_error("The event could not be written to the queue of this node; its log tells more."))
            return
        self._observer.event_received(function)
        done(None)
        self._announce(message)

    # -- for people

    async def usage(self, scope_prefix: str = "") -> dict[Lane, Usage]:
        """Of each lane, as far as its scopes begin so."""

        def work(table: EventTable) -> dict[Lane, Usage]:
            return {lane: table.usage(lane, scope_prefix) for lane in LANES}

        return await self._queue.submit(work)

    async def entries(self, selection: Selection, limit: int, *, dead: bool) -> Sequence[Entry]:
        return await self._queue.submit(lambda table: table.entries(selection, limit, dead=dead))

    async def find(self, id: str) -> Entry | None:  # noqa: A002
        """In any lane."""

        def work(table: EventTable) -> Entry | None:
            return next((found for lane in LANES if (found := table.find(lane, id)) is not None), None)

        return await self._queue.submit(work)

    async def redrive(self, selection: Selection) -> int:
        """Dead messages wait again. Returns how many."""
        now = self._clock.time()

        def work(table: EventTable) -> tuple[int, Sequence[tuple[Lane, str]]]:
            before = sum(table.usage(lane).dead for lane in LANES)
            scopes = table.redrive(selection, now)
            return before - sum(table.usage(lane).dead for lane in LANES), scopes

        count, scopes = await self._queue.submit(work)
        for lane, scope in scopes:
            if lane in self._dispatchers:
                self._dispatchers[lane].note(scope, now)
        return count

    async def purge(self, selection: Selection, *, dead: bool) -> int:
        """Forget messages. Returns how many."""
        count = await self._queue.submit(lambda table: table.purge(selection, dead=dead))
        await self._count()
        return count

    def _announce(self, message: Message) -> None:
        dispatcher = self._dispatchers.get(message.lane)
        if dispatcher is not None:
            dispatcher.note(message.scope, self._clock.time())

    async def _sweep(self) -> None:
        """Count again what the limits are about, and let the oldest dead go."""
        capacity = self._capacity
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._count()
                trimmed = await self._queue.submit(lambda table: table.trim_dead(capacity.dead, capacity.dead_size))
            except Exception as error:  # the disk: it is tried again
                self._log.exception("queue.failed", error)
                continue
            if trimmed:
                self._log.warning("queue.trimmed", count=trimmed)

    async def _count(self) -> None:
        self._since = (0, 0)
        usage = await self.usage()
        self._unsettled = usage["event"]
        for lane, counted in usage.items():
            self._observer.queue_counted(lane, counted)
