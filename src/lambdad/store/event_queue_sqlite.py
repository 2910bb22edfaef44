"""`EventTable` over SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from lambdad.store.sql import Connection

PUT = """
    INSERT INTO messages (lane, id, scope, meta, accepted, due, attempts, refusals, size, last, payload)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
    WHERE NOT EXISTS (SELECT 1 FROM dead WHERE lane = ?1 AND id = ?2)
    ON CONFLICT (lane, id) DO NOTHING
"""
# One step of the index for each scope, however many messages it has.
DUE_BY_SCOPE = """
    WITH RECURSIVE scopes (scope) AS (
        SELECT MIN(scope) FROM messages WHERE lane = ?1
        UNION ALL
        SELECT (SELECT MIN(scope) FROM messages WHERE lane = ?1 AND scope > scopes.scope)
        FROM scopes WHERE scopes.scope IS NOT NULL
    )
    SELECT scope, (SELECT MIN(due) FROM messages WHERE lane = ?1 AND messages.scope = scopes.scope)
    FROM scopes WHERE scope IS NOT NULL
"""
DUE = "SELECT rowid FROM messages WHERE lane = ? AND scope = ? AND due <= ? ORDER BY due LIMIT ?"
LEASE = """
    UPDATE messages SET leased = 1, epoch = epoch + 1, due = ? WHERE rowid = ?
    RETURNING id, meta, payload, accepted, attempts, refusals, last, epoch
"""
NEXT_DUE = "SELECT MIN(due) FROM messages WHERE lane = ? AND scope = ?"
_CURRENT = "WHERE lane = ? AND id = ? AND epoch = ? AND leased = 1"
EXTEND = f"UPDATE messages SET due = ? {_CURRENT}"  # noqa: S608
ACK = f"DELETE FROM messages {_CURRENT}"  # noqa: S608
NACK = f"UPDATE messages SET leased = 0, due = ?, attempts = ?, refusals = ?, last = ? {_CURRENT}"  # noqa: S608
BURY = f"""
    INSERT INTO dead (lane, id, scope, meta, accepted, died, reason, epoch, attempts, size, last, payload)
    SELECT lane, id, scope, meta, accepted, ?, ?, epoch, ?, size, ?, payload FROM messages {_CURRENT}
"""  # noqa: S608
RECOVER = "UPDATE messages SET leased = 0, due = ? WHERE leased = 1"
CLAMP = "UPDATE messages SET due = MIN(due, ?), accepted = MIN(accepted, ?) WHERE due > ? OR accepted > ?"
_SELECTED = """
    WHERE (?1 = '' OR lane = ?1) AND substr(scope, 1, length(?2)) = ?2
    AND (?3 = '' OR id = ?3) AND (?4 = '' OR scope = ?4)
"""
REDRIVEN = f"SELECT DISTINCT lane, scope FROM dead {_SELECTED}"  # noqa: S608
REDRIVE = f"""
    INSERT INTO messages (lane, id, scope, meta, accepted, due, epoch, size, last, payload)
    SELECT lane, id, scope, meta, ?5, ?5, epoch, size, x'', payload FROM dead {_SELECTED} ORDER BY seq
"""  # noqa: S608
PURGE_DEAD = f"DELETE FROM dead {_SELECTED}"  # noqa: S608
PURGE_WAITING = f"DELETE FROM messages {_SELECTED}"  # noqa: S608
TRIM = """
    DELETE FROM dead WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, ROW_NUMBER() OVER newest AS position, SUM(size) OVER newest AS total
            FROM dead WINDOW newest AS (ORDER BY seq DESC)
        ) WHERE position > ? OR total > ?
    )
"""
WAITING = f"""
    SELECT lane, id, scope, meta, accepted, attempts, refusals, last, size, due, leased, NULL, NULL, x''
    FROM messages {_SELECTED} ORDER BY due LIMIT ?5
"""  # noqa: S608
DEAD = f"""
    SELECT lane, id, scope, meta, accepted, attempts, 0, last, size, NULL, 0, reason, died, x''
    FROM dead {_SELECTED} ORDER BY seq DESC LIMIT ?5
"""  # noqa: S608
FIND = """
    SELECT lane, id, scope, meta, accepted, attempts, refusals, last, size, due, leased, NULL, NULL, payload
    FROM messages WHERE lane = ?1 AND id = ?2
    UNION ALL
    SELECT lane, id, scope, meta, accepted, attempts, 0, last, size, NULL, 0, reason, died, payload
    FROM dead WHERE lane = ?1 AND id = ?2
"""
USAGE = """
    SELECT COALESCE(SUM(1 - leased), 0), COALESCE(SUM(leased), 0), COALESCE(SUM(size), 0) FROM messages
    WHERE lane = ?1 AND substr(scope, 1, length(?2)) = ?2
"""
USAGE_DEAD = """
    SELECT COUNT(*), COALESCE(SUM(size), 0) FROM dead WHERE lane = ?1 AND substr(scope, 1, length(?2)) = ?2
"""


class SqliteEvents:
    """The tables `messages` and `dead`, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, messages: Sequence[Message], due: float) -> None:
        for message in messages:
            head = (message.lane, message.id, message.scope, message.meta, message.accepted, due)
            counts = (message.attempts, message.refusals, len(message.payload))
            self._connection.execute(PUT, (*head, *counts, message.last, message.payload))

    def due_by_scope(self, lane: Lane) -> dict[str, float]:
        return dict(self._connection.execute(DUE_BY_SCOPE, (lane,)))

    def lease(self, lane: Lane, scope: str, now: float, until: float, limit: int) -> Leased:
        leases: list[Lease] = []
        for (rowid,) in list(self._connection.execute(DUE, (lane, scope, now, limit))):
            row = self._connection.execute(LEASE, (until, rowid)).fetchone()
            identity, meta, payload, accepted, attempts, refusals, last, epoch = row
            message = Message(
                lane=lane,
                id=identity,
                scope=scope,
                meta=meta,
                payload=payload,
                accepted=accepted,
                attempts=attempts,
                refusals=refusals,
                last=last,
            )
            leases.append(Lease(LeaseKey(lane, identity, epoch), message, until))
        (next_due,) = self._connection.execute(NEXT_DUE, (lane, scope)).fetchone()
        return Leased(leases, next_due)

    def extend(self, key: LeaseKey, until: float) -> bool:
        return self._changes(EXTEND, (until, key.lane, key.id, key.epoch))

    def ack(self, key: LeaseKey) -> bool:
        return self._changes(ACK, (key.lane, key.id, key.epoch))

    def nack(self, key: LeaseKey, retry: Retry) -> bool:
        put_back = (retry.due, retry.attempts, retry.refusals, retry.last)
        return self._changes(NACK, (*put_back, key.lane, key.id, key.epoch))

    def kill(self, key: LeaseKey, death: Death) -> bool:
        buried = (death.now, death.reason, death.attempts, death.last)
        return self._changes(BURY, (*buried, key.lane, key.id, key.epoch)) and self.ack(key)

    def recover(self, now: float, latest: float) -> int:
        count = self._connection.execute(RECOVER, (now,)).rowcount
        self._connection.execute(CLAMP, (latest, now, latest, now))
        return count

    def redrive(self, selection: Selection, now: float) -> Sequence[tuple[Lane, str]]:
        chosen = _parameters(selection)
        scopes = [(lane, scope) for lane, scope in self._connection.execute(REDRIVEN, chosen)]
        self._connection.execute(REDRIVE, (*chosen, now))
        self._connection.execute(PURGE_DEAD, chosen)
        return scopes

    def purge(self, selection: Selection, *, dead: bool) -> int:
        return self._connection.execute(PURGE_DEAD if dead else PURGE_WAITING, _parameters(selection)).rowcount

    def trim_dead(self, count: int, size: int) -> int:
        return self._connection.execute(TRIM, (count, size)).rowcount

    def entries(self, selection: Selection, limit: int, *, dead: bool) -> Sequence[Entry]:
        rows = self._connection.execute(DEAD if dead else WAITING, (*_parameters(selection), limit))
        return [_entry(row) for row in rows]

    def find(self, lane: Lane, id: str) -> Entry | None:  # noqa: A002
        row = self._connection.execute(FIND, (lane, id)).fetchone()
        return None if row is None else _entry(row)

    def usage(self, lane: Lane, scope_prefix: str = "") -> Usage:
        waiting, leased, size = self._connection.execute(USAGE, (lane, scope_prefix)).fetchone()
        dead, dead_size = self._connection.execute(USAGE_DEAD, (lane, scope_prefix)).fetchone()
        return Usage(waiting, leased, size, dead, dead_size)

    def _changes(self, sql: str, parameters: Sequence[object]) -> bool:
        return self._connection.execute(sql, parameters).rowcount == 1


def _parameters(selection: Selection) -> tuple[str, str, str, str]:
    return (selection.lane or "", selection.scope_prefix, selection.id or "", selection.scope or "")


def _entry(row: Any) -> Entry:
    lane, identity, scope, meta, accepted, attempts, refusals, last, size, due, leased, reason, died, payload = row
    message = Message(
        lane=lane,
        id=identity,
        scope=scope,
        meta=meta,
        payload=payload,
        accepted=accepted,
        attempts=attempts,
        refusals=refusals,
        last=last,
    )
    return Entry(message=message, size=size, due=due, leased=bool(leased), reason=reason, died=died)
