"""The driver of one lane: leases what is due, hands it to the lane's handler, and settles.

It decides nothing: who is next is `schedule`, what becomes of a message is the handler's verdict. While an attempt runs
its lease is kept; a lease that ran out all the same (a machine that slept) is taken over by the attempt that goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from lambdad.events.schedule import Grant, Limits, Schedule
from lambdad.events.verdict import Done, GivenUp, Handler, Later, Verdict
from lambdad.model.clock import Clock
from lambdad.store.event_queue import EventQueue, EventTable, Lane, Lease, Leased, LeaseKey, Message, Retry
from lambdad.telemetry.log import Logger

LEASE_MARGIN_S = 90.0
"""A lease is longer than the attempt by this: waiting for a sandbox and its start are no part of the timeout."""
HEARTBEAT_S = 20.0
"""How often leases are looked after: those that end before the next look but one are extended."""
FAULT_DELAY_S = 60.0
"""After a fault of ours in a handler, or one of the disk."""

Announce = Callable[[Message], None]


@dataclass(slots=True)
class _Attempt:
    message: Message
    key: LeaseKey
    until: float
    settled: bool = False


class Dispatcher:
    """Works while somebody runs `run`. announce: is told of messages that were put, whatever their lane."""

    def __init__(
        self,
        lane: Lane,
        queue: EventQueue,
        handler: Handler,
        limits: Limits,
        clock: Clock,
        log: Logger,
        announce: Announce,
    ) -> None:
        self._lane = lane
        self._queue = queue
        self._handler = handler
        self._clock = clock
        self._log = log
        self._announce = announce
        self._schedule = Schedule(limits)
        self._attempts: dict[str, _Attempt] = {}
        self._wanted = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopping = False
        self._heartbeat = clock.time() + HEARTBEAT_S

    async def open(self) -> None:
        """Take over what an earlier process left."""
        found = await self._queue.submit(lambda table: table.due_by_scope(self._lane))
        for scope, due in found.items():
            self.note(scope, due)

    def note(self, scope: str, due: float) -> None:
        """A message of the scope has been put, and is due then."""
        self._schedule.note(scope, due)
        self._wanted.set()

    def stop(self) -> None:
        """Lease nothing any more; attempts that run go on."""
        self._stopping = True

    async def quiet(self) -> None:
        """Return when no attempt runs."""
        await self._quiet.wait()

    async def run(self) -> None:
        """Work, until cancelled."""
        while True:
            self._wanted.clear()
            now = self._clock.time()
            if now >= self._heartbeat:
                self._heartbeat = now + HEARTBEAT_S
                self._extend(now)
            grants = [] if self._stopping else self._schedule.grant(now)
            if grants:
                await self._lease(grants, now)
            else:
                await self._wait(now)

    async def _wait(self, now: float) -> None:
        due = None if self._stopping else self._schedule.next_due()
        until = self._heartbeat if due is None else min(due, self._heartbeat)
        try:
            async with asyncio.timeout(max(until - now, 0.0)):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _lease(self, grants: Sequence[Grant], now: float) -> None:
        untils = [now + self._handler.attempt_s(grant.scope) + LEASE_MARGIN_S for grant in grants]

        def work(table: EventTable) -> list[Leased]:
            return [
                table.lease(self._lane, grant.scope, now, until, grant.count)
                for grant, until in zip(grants, untils, strict=True)
            ]

        try:
            found = await self._queue.submit(work)
        except Exception as error:  # the disk, say: nothing was leased, so nothing is lost
            self._log.exception("queue.failed", error, lane=self._lane)
            for grant in grants:
                self._schedule.leased(grant, 0, now + FAULT_DELAY_S)
            return
        for grant, leased in zip(grants, found, strict=True):
            fresh = [lease for lease in leased.leases if not self._adopt(lease)]
            self._schedule.leased(grant, len(fresh), leased.next_due)
            for lease in fresh:
                self._start(lease)

    def _adopt(self, lease: Lease) -> bool:
        """Whether an attempt at this message still runs: it goes on, under the new lease."""
        attempt = self._attempts.get(lease.message.id)
        if attempt is None:
            return False
        attempt.key, attempt.until = lease.key, lease.until
        return True

    def _start(self, lease: Lease) -> None:
        message = lease.message
        attempt = self._attempts[message.id] = _Attempt(message, lease.key, lease.until)
        self._quiet.clear()
        try:
            self._handler.start(message, partial(self._settle, attempt))
        except Exception as error:
            self._log.exception("queue.failed", error, lane=self._lane, id=message.id)
            if not attempt.settled:
                due = self._clock.time() + FAULT_DELAY_S
                retry = Retry(due=due, attempts=message.attempts, refusals=message.refusals + 1, last=message.last)
                self._settle(attempt, Later(retry, refused=True))

    def _settle(self, attempt: _Attempt, verdict: Verdict) -> None:
        assert not attempt.settled, attempt.message.id
        attempt.settled = True
        key, now = attempt.key, self._clock.time()
        future = self._queue.submit(lambda table: _apply(table, key, verdict, now))
        future.add_done_callback(partial(self._after, attempt, verdict))

    def _after(self, attempt: _Attempt, verdict: Verdict, future: asyncio.Future[bool]) -> None:
        """The verdict is on disk, or could not be brought there."""
        scope = attempt.message.scope
        del self._attempts[attempt.message.id]
        if not self._attempts:
            self._quiet.set()
        if future.cancelled() or future.exception() is not None:
            error = None if future.cancelled() else future.exception()
            self._log.error("queue.failed", lane=self._lane, id=attempt.message.id, error=str(error))
            self._schedule.note(scope, attempt.until)
        elif not future.result():
            self._log.warning("queue.lease_lost", lane=self._lane, id=attempt.message.id)
        elif isinstance(verdict, Later):
            self._schedule.note(scope, verdict.retry.due)
        else:
            for message in verdict.follow:
                self._announce(message)
        self._schedule.finished(scope, refused=isinstance(verdict, Later) and verdict.refused)
        self._wanted.set()

    def _extend(self, now: float) -> None:
        """Keep the leases of attempts that run for long."""
        soon = [attempt for attempt in self._attempts.values() if attempt.until < now + 2 * HEARTBEAT_S]
        if not soon:
            return
        until = now + LEASE_MARGIN_S
        keys = [attempt.key for attempt in soon]
        for attempt in soon:
            attempt.until = until
        future = self._queue.submit(lambda table: [table.extend(key, until) for key in keys])
        future.add_done_callback(_ignore)  # at worst it is leased again, and adopted


def _apply(table: EventTable, key: LeaseKey, verdict: Verdict, now: float) -> bool:
    """Write a verdict, all of it or nothing. False if the lease is not the current one."""
    match verdict:
        case Later(retry):
            return table.nack(key, retry)
        case Done(follow):
            current = table.ack(key)
        case GivenUp(death, follow):
            current = table.kill(key, death)
        case _:
            assert_never(verdict)
    if current:
        table.put(follow, now)
    return current


def _ignore(future: asyncio.Future[list[bool]]) -> None:
    if not future.cancelled():
        future.exception()
