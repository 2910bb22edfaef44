"""The table `aliases`."""

from __future__ import annotations

from collections.abc import Iterator

from lambdad.model.arn import Namespace
from lambdad.model.function import Alias
from lambdad.store.changes import AliasChanged, AliasRemoved, Change
from lambdad.store.codec import decode, encode
from lambdad.store.sql import Connection

GET = "SELECT document FROM aliases WHERE account = ? AND region = ? AND function = ? AND name = ?"
PUT = """
    INSERT INTO aliases (account, region, function, name, document) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (account, region, function, name) DO UPDATE SET document = excluded.document
"""
DELETE = "DELETE FROM aliases WHERE account = ? AND region = ? AND function = ? AND name = ?"
OF_FUNCTION = "SELECT document FROM aliases WHERE account = ? AND region = ? AND function = ? ORDER BY name"
ALL = "SELECT document FROM aliases ORDER BY account, region, function, name"


class Aliases:
    """Reads and writes inside one transaction; every write is noted in `changes`."""

    def __init__(self, connection: Connection, changes: list[Change]) -> None:
        self._connection = connection
        self._changes = changes

    def get(self, namespace: Namespace, function: str, name: str) -> Alias | None:
        key = (namespace.account, namespace.region, function, name)
        row = self._connection.execute(GET, key).fetchone()
        return None if row is None else decode(Alias, row[0])

    def put(self, alias: Alias) -> None:
        space = alias.namespace
        self._connection.execute(PUT, (space.account, space.region, alias.function, alias.name, encode(alias)))
        self._changes.append(AliasChanged(alias))

    def remove(self, alias: Alias) -> None:
        space = alias.namespace
        self._connection.execute(DELETE, (space.account, space.region, alias.function, alias.name))
        self._changes.append(AliasRemoved(space, alias.function, alias.name))

    def of_function(self, namespace: Namespace, function: str) -> list[Alias]:
        """By name."""
        rows = self._connection.execute(OF_FUNCTION, (namespace.account, namespace.region, function))
        return [decode(Alias, document) for (document,) in rows]

    def all(self) -> Iterator[Alias]:
        return (decode(Alias, document) for (document,) in self._connection.execute(ALL))
