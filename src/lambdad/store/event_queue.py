"""The queue of messages that are worked off later: values, and the interface of the table behind it.

A message is leased, worked on, and settled: acknowledged, put back for later, or given up. A lease has an epoch, and
only the current lease settles; so each message is settled at most once however late or often somebody tries. Nothing
leaves the table in any other way but by a person's `purge`, and the oldest of the dead when they become too many:
what was put = waiting + leased + acknowledged + dead (+ purged).

Messages live in a lane (events to run, records to deliver) and in a scope (a function, a target) by which work is
shared out: leases are asked for by scope, so a scope with a million messages costs the others nothing.
Times are seconds since the epoch, and always parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

Lane: TypeAlias = Literal["event", "delivery"]
LANES: tuple[Lane, ...] = ("event", "delivery")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """id: unique in its lane. meta: JSON, known to the lane's owner only. accepted: when it was put.

    attempts: how often it was tried and failed. refusals: how often in a row it could not be tried.
    last: JSON, what the last attempt brought; empty before the first.
    """

    lane: Lane
    id: str
    scope: str
    meta: str
    payload: bytes
    accepted: float
    attempts: int = 0
    refusals: int = 0
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """The right to settle a message: of all keys of a message only the newest counts, and only once."""

    lane: Lane
    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Lease:
    key: LeaseKey
    message: Message
    until: float


@dataclass(frozen=True, slots=True)
class Leased:
    """What `lease` gave. next_due: when to ask for this scope again; None when nothing of it is left."""

    leases: Sequence[Lease]
    next_due: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How a message is put back. due: when it may be leased again."""

    due: float
    attempts: int
    refusals: int = 0
    last: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a message is given up. reason: one word for people and programs."""

    now: float
    reason: str
    attempts: int
    last: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which messages a person means. scope: all of it. scope_prefix: empty for all. id: one message only."""

    lane: Lane | None = None
    scope: str | None = None
    scope_prefix: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message as it is shown. due: of a leased one, when the lease ends. size: bytes of its payload.

    reason, died: only of dead ones.
    """

    message: Message
    size: int
    due: float | None = None
    leased: bool = False
    reason: str | None = None
    died: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Messages in a lane that are not settled, with the bytes of their payloads, and the dead."""

    waiting: int = 0
    leased: int = 0
    size: int = 0
    dead: int = 0
    dead_size: int = 0


class EventTable(Protocol):
    """Inside one transaction that somebody else began and will end; not to be kept."""

    def put(self, messages: Sequence[Message], due: float) -> None:
        """Add messages. One whose id is there already, waiting or dead, is left as it is: putting is idempotent."""
        ...

    def due_by_scope(self, lane: Lane) -> dict[str, float]:
        """When the first message of each scope is due."""
        ...

    def lease(self, lane: Lane, scope: str, now: float, until: float, limit: int) -> Leased:
        """At most `limit` messages of a scope that are due, the longest due first; an expired lease is replaced."""
        ...

    def extend(self, key: LeaseKey, until: float) -> bool:
        """Keep a lease for longer; False if it is not the current one."""
        ...

    def ack(self, key: LeaseKey) -> bool:
        """Done: forget the message. False, and nothing is changed, if the lease is not the current one."""
        ...

    def nack(self, key: LeaseKey, retry: Retry) -> bool:
        """Put back. False, and nothing is changed, if the lease is not the current one."""
        ...

    def kill(self, key: LeaseKey, death: Death) -> bool:
        """Give up, and keep it among the dead. False, and nothing is changed, if the lease is not the current one."""
        ...

    def recover(self, now: float, latest: float) -> int:
        """After a restart of the only owner: what was leased is due again. Returns how many.

        latest: nothing may be due later, nor accepted later than `now`; a clock that was set back left it so.
        """
        ...

    def redrive(self, selection: Selection, now: float) -> Sequence[tuple[Lane, str]]:
        """Dead messages wait again, with fresh attempts and a fresh age. Returns their lanes and scopes."""
        ...

    def purge(self, selection: Selection, *, dead: bool) -> int:
        """Forget messages: the dead, or those that are not settled. Returns how many."""
        ...

    def trim_dead(self, count: int, size: int) -> int:
        """Forget the oldest dead until at most `count` with at most `size` bytes are left. Returns how many."""
        ...

    def entries(self, selection: Selection, limit: int, *, dead: bool) -> Sequence[Entry]:
        """Without payloads, the first due first; the dead newest first."""
        ...

    def find(self, lane: Lane, id: str) -> Entry | None:  # noqa: A002
        """One message, payload included, waiting or dead."""
        ...

    def usage(self, lane: Lane, scope_prefix: str = "") -> Usage:
        """Of a whole lane, or of the scopes that begin so."""
        ...


class EventQueue(Protocol):
    """The table as an event loop uses it."""

    def submit(self, work: Callable[[EventTable], Answer]) -> asyncio.Future[Answer]:
        """`work` on the table; what it did is durable when the future is done. Cancelling undoes nothing."""
        ...
