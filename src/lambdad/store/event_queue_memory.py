"""`EventTable` in memory: for tests and simulations in virtual time. Nothing of it survives the process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lambdad.store.event_queue import (
    Death,
    Entry,
    Lane,
    Lease,
    Leased,
    LeaseKey,
    Message,
    Retry,
    Selection,
    Usage,
)


@dataclass(slots=True)
class _Row:
    message: Message
    due: float
    leased: bool = False
    epoch: int = 0


@dataclass(slots=True)
class _Grave:
    message: Message
    epoch: int
    death: Death


class MemoryEvents:
    """Rows by lane and id; the dead in the order of their deaths."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Lane, str], _Row] = {}
        self._dead: dict[tuple[Lane, str], _Grave] = {}

    def put(self, messages: Sequence[Message], due: float) -> None:
        for message in messages:
            key = (message.lane, message.id)
            if key not in self._rows and key not in self._dead:
                self._rows[key] = _Row(message, due)

    def due_by_scope(self, lane: Lane) -> dict[str, float]:
        due: dict[str, float] = {}
        for row in self._of_lane(lane):
            scope = row.message.scope
            due[scope] = min(row.due, due.get(scope, row.due))
        return due

    def lease(self, lane: Lane, scope: str, now: float, until: float, limit: int) -> Leased:
        ready = [row for row in self._of_lane(lane) if row.message.scope == scope and row.due <= now]
        leases: list[Lease] = []
        for row in sorted(ready, key=lambda row: row.due)[:limit]:
            row.leased, row.due = True, until
            row.epoch += 1
            leases.append(Lease(LeaseKey(lane, row.message.id, row.epoch), row.message, until))
        return Leased(leases, self.due_by_scope(lane).get(scope))

    def extend(self, key: LeaseKey, until: float) -> bool:
        row = self._current(key)
        if row is None:
            return False
        row.due = until
        return True

    def ack(self, key: LeaseKey) -> bool:
        if self._current(key) is None:
            return False
        del self._rows[key.lane, key.id]
        return True

    def nack(self, key: LeaseKey, retry: Retry) -> bool:
        row = self._current(key)
        if row is None:
            return False
        row.leased, row.due = False, retry.due
        row.message = replace(row.message, attempts=retry.attempts, refusals=retry.refusals, last=retry.last)
        return True

    def kill(self, key: LeaseKey, death: Death) -> bool:
        row = self._current(key)
        if row is None:
            return False
        message = replace(row.message, attempts=death.attempts, refusals=0, last=death.last)
        self._dead[key.lane, key.id] = _Grave(message, row.epoch, death)
        del self._rows[key.lane, key.id]
        return True

    def recover(self, now: float, latest: float) -> int:
        count = 0
        for row in self._rows.values():
            if row.leased:
                row.leased, row.due = False, now
                count += 1
            row.due = min(row.due, latest)
            row.message = replace(row.message, accepted=min(row.message.accepted, now))
        return count

    def redrive(self, selection: Selection, now: float) -> Sequence[tuple[Lane, str]]:
        scopes: dict[tuple[Lane, str], None] = {}
        for key, grave in list(self._dead.items()):
            if _selects(selection, grave.message):
                message = replace(grave.message, accepted=now, attempts=0, refusals=0, last=b"")
                self._rows[key] = _Row(message, now, epoch=grave.epoch)
                del self._dead[key]
                scopes[message.lane, message.scope] = None
        return list(scopes)

    def purge(self, selection: Selection, *, dead: bool) -> int:
        table: dict[tuple[Lane, str], _Row] | dict[tuple[Lane, str], _Grave] = self._dead if dead else self._rows
        chosen = [key for key, kept in table.items() if _selects(selection, kept.message)]
        for key in chosen:
            del table[key]
        return len(chosen)

    def trim_dead(self, count: int, size: int) -> int:
        total, forgotten = 0, []
        for position, (key, grave) in enumerate(reversed(self._dead.items()), 1):
            total += len(grave.message.payload)
            if position > count or total > size:
                forgotten.append(key)
        for key in forgotten:
            del self._dead[key]
        return len(forgotten)

    def entries(self, selection: Selection, limit: int, *, dead: bool) -> Sequence[Entry]:
        if dead:
            found = [_buried(grave) for grave in reversed(self._dead.values())]
        else:
            found = [_waiting(row) for row in sorted(self._rows.values(), key=lambda row: row.due)]
        chosen = [entry for entry in found if _selects(selection, entry.message)]
        return [replace(entry, message=replace(entry.message, payload=b"")) for entry in chosen[:limit]]

    def find(self, lane: Lane, id: str) -> Entry | None:  # noqa: A002
        row, grave = self._rows.get((lane, id)), self._dead.get((lane, id))
        if row is not None:
            return _waiting(row)
        return None if grave is None else _buried(grave)

    def usage(self, lane: Lane, scope_prefix: str = "") -> Usage:
        selection = Selection(lane=lane, scope_prefix=scope_prefix)
        rows = [row for row in self._rows.values() if _selects(selection, row.message)]
        leased = sum(row.leased for row in rows)
        dead = [grave for grave in self._dead.values() if _selects(selection, grave.message)]
        return Usage(
            len(rows) - leased,
            leased,
            sum(len(row.message.payload) for row in rows),
            len(dead),
            sum(len(grave.message.payload) for grave in dead),
        )

    def _of_lane(self, lane: Lane) -> Iterator[_Row]:
        return (row for row in self._rows.values() if row.message.lane == lane)

    def _current(self, key: LeaseKey) -> _Row | None:
        row = self._rows.get((key.lane, key.id))
        return row if row is not None and row.leased and row.epoch == key.epoch else None


def _selects(selection: Selection, message: Message) -> bool:
    return (
        selection.lane in (None, message.lane)
        and message.scope.startswith(selection.scope_prefix)
        and selection.id in (None, message.id)
        and selection.scope in (None, message.scope)
    )


def _waiting(row: _Row) -> Entry:
    return Entry(message=row.message, size=len(row.message.payload), due=row.due, leased=row.leased)


def _buried(grave: _Grave) -> Entry:
    death = grave.death
    return Entry(message=grave.message, size=len(grave.message.payload), reason=death.reason, died=death.now)
