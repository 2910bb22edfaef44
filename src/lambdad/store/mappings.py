"""The table `mappings`: event source mappings."""

from __future__ import annotations

from collections.abc import Iterator

from lambdad.model.arn import Namespace, function_arn
from lambdad.model.mapping import EventSourceMapping
from lambdad.store.changes import Change, MappingChanged
from lambdad.store.codec import decode, encode
from lambdad.store.sql import Connection

GET = "SELECT document FROM mappings WHERE account = ? AND region = ? AND uuid = ?"
PUT = """
    INSERT INTO mappings (account, region, uuid, document) VALUES (?, ?, ?, ?)
    ON CONFLICT (account, region, uuid) DO UPDATE SET document = excluded.document
"""
DELETE = "DELETE FROM mappings WHERE account = ? AND region = ? AND uuid = ?"
OF_NAMESPACE = "SELECT document FROM mappings WHERE account = ? AND region = ? AND uuid >= ? ORDER BY uuid"
ALL = "SELECT document FROM mappings ORDER BY account, region, uuid"


def mapping_changed(mapping: EventSourceMapping) -> MappingChanged:
    """That it is there, as it is."""
    arn = function_arn(mapping.namespace, mapping.function, mapping.qualifier)
    return MappingChanged(mapping.namespace, mapping.uuid, arn)


class Mappings:
    """Reads and writes inside one transaction; every write is noted in `changes`."""

    def __init__(self, connection: Connection, changes: list[Change]) -> None:
        self._connection = connection
        self._changes = changes

    def get(self, namespace: Namespace, uuid: str) -> EventSourceMapping | None:
        row = self._connection.execute(GET, (namespace.account, namespace.region, uuid)).fetchone()
        return None if row is None else decode(EventSourceMapping, row[0])

    def put(self, mapping: EventSourceMapping) -> None:
        space = mapping.namespace
        self._connection.execute(PUT, (space.account, space.region, mapping.uuid, encode(mapping)))
        self._changes.append(mapping_changed(mapping))

    def remove(self, mapping: EventSourceMapping) -> None:
        self._connection.execute(DELETE, (mapping.namespace.account, mapping.namespace.region, mapping.uuid))
        self._changes.append(MappingChanged(mapping.namespace, mapping.uuid, None))

    def of_namespace(self, namespace: Namespace, start: str) -> Iterator[EventSourceMapping]:
        """By uuid, from `start` on."""
        rows = self._connection.execute(OF_NAMESPACE, (namespace.account, namespace.region, start))
        return (decode(EventSourceMapping, document) for (document,) in rows)

    def all(self) -> Iterator[EventSourceMapping]:
        return (decode(EventSourceMapping, document) for (document,) in self._connection.execute(ALL))
