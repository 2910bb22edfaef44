"""The tables `functions` and `versions`."""

from __future__ import annotations

from collections.abc import Iterator

from lambdad.model.arn import LATEST, Namespace
from lambdad.model.function import Function, FunctionVersion
from lambdad.store.changes import Change, FunctionChanged, FunctionRemoved, VersionChanged, VersionRemoved
from lambdad.store.codec import decode, encode
from lambdad.store.sql import Connection

GET = "SELECT document FROM functions WHERE account = ? AND region = ? AND name = ?"
PUT = """
    INSERT INTO functions (account, region, name, document) VALUES (?, ?, ?, ?)
    ON CONFLICT (account, region, name) DO UPDATE SET document = excluded.document
"""
DELETE = "DELETE FROM functions WHERE account = ? AND region = ? AND name = ?"
DELETE_VERSIONS = "DELETE FROM versions WHERE account = ? AND region = ? AND function = ?"
DELETE_ALIASES = "DELETE FROM aliases WHERE account = ? AND region = ? AND function = ?"
DELETE_SETTINGS = "DELETE FROM function_settings WHERE account = ? AND region = ? AND function = ?"
DELETE_TAGS = "DELETE FROM tags WHERE account = ? AND region = ? AND resource = ?"
ALL = "SELECT document FROM functions ORDER BY account, region, name"
OF_NAMESPACE = "SELECT document FROM functions WHERE account = ? AND region = ? ORDER BY name"
COUNT = "SELECT COUNT(*) FROM functions WHERE account = ? AND region = ?"
# By their text, which spares reading every function for the few that have a reservation.
RESERVING = """
    SELECT document FROM functions
    WHERE account = ? AND region = ? AND document NOT LIKE '%"reserved_concurrency":null%'
"""
CODE_SIZE = "SELECT code_size FROM code_usage WHERE account = ? AND region = ?"
ADD_CODE_SIZE = """
    INSERT INTO code_usage (account, region, code_size) VALUES (?, ?, ?)
    ON CONFLICT (account, region) DO UPDATE SET code_size = code_usage.code_size + excluded.code_size
"""
SIZE_OF_FUNCTION = """
    SELECT COALESCE(SUM(code_size), 0) FROM versions WHERE account = ? AND region = ? AND function = ?
"""
SIZE_OF_VERSION = """
    SELECT code_size FROM versions WHERE account = ? AND region = ? AND function = ? AND number = ?
"""

GET_VERSION = "SELECT document FROM versions WHERE account = ? AND region = ? AND function = ? AND number = ?"
PUT_VERSION = """
    INSERT INTO versions (account, region, function, number, code_size, document) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (account, region, function, number)
    DO UPDATE SET code_size = excluded.code_size, document = excluded.document
"""
DELETE_VERSION = "DELETE FROM versions WHERE account = ? AND region = ? AND function = ? AND number = ?"
LAST_PUBLISHED = """
    SELECT document FROM versions WHERE account = ? AND region = ? AND function = ? AND number > 0
    ORDER BY number DESC LIMIT 1
"""
PAGE_OF_VERSIONS = """
    SELECT document FROM versions WHERE account = ? AND region = ? AND function = ? AND number >= ?
    ORDER BY number LIMIT ?
"""
PAGE_OF_LATEST = """
    SELECT document FROM versions
    WHERE account = ? AND region = ? AND number = 0 AND function >= ? ORDER BY function LIMIT ?
"""
PAGE_OF_ALL = """
    SELECT document FROM versions
    WHERE account = ? AND region = ? AND (function > ? OR (function = ? AND number >= ?))
    ORDER BY function, number LIMIT ?
"""
VERSION_DOCUMENTS = "SELECT account, region, function, number, document FROM versions"
# Roughly, by the text: what is found is looked at.
CHANGING = """
    SELECT document FROM versions WHERE document LIKE '%"Pending"%' OR document LIKE '%"InProgress"%'
    ORDER BY account, region, function, number
"""
ALL_VERSIONS = "SELECT document FROM versions ORDER BY account, region, function, number"


class Functions:
    """Reads and writes inside one transaction; every write is noted in `changes`."""

    def __init__(self, connection: Connection, changes: list[Change]) -> None:
        self._connection = connection
        self._changes = changes

    def get(self, namespace: Namespace, name: str) -> Function | None:
        row = self._connection.execute(GET, (namespace.account, namespace.region, name)).fetchone()
        return None if row is None else decode(Function, row[0])

    def put(self, function: Function) -> None:
        space = function.namespace
        self._connection.execute(PUT, (space.account, space.region, function.name, encode(function)))
        self._changes.append(FunctionChanged(function))

    def remove(self, function: Function) -> None:
        """The function with its versions, aliases, settings and tags; event source mappings stay, as AWS does it."""
        key = (function.namespace.account, function.namespace.region, function.name)
        self._add_code_size(function.namespace, -int(self._connection.execute(SIZE_OF_FUNCTION, key).fetchone()[0]))
        for statement in (DELETE, DELETE_VERSIONS, DELETE_ALIASES, DELETE_SETTINGS):
            self._connection.execute(statement, key)
        self._connection.execute(DELETE_TAGS, (key[0], key[1], function.arn))
        self._changes.append(FunctionRemoved(function.namespace, function.name))

    def all(self) -> Iterator[Function]:
        return (decode(Function, document) for (document,) in self._connection.execute(ALL))

    def of_namespace(self, namespace: Namespace) -> list[Function]:
        rows = self._connection.execute(OF_NAMESPACE, (namespace.account, namespace.region))
        return [decode(Function, document) for (document,) in rows]

    def reserving(self, namespace: Namespace) -> list[Function]:
        """The functions that have reserved concurrency."""
        rows = self._connection.execute(RESERVING, (namespace.account, namespace.region))
        return [decode(Function, document) for (document,) in rows]

    def count(self, namespace: Namespace) -> int:
        return int(self._connection.execute(COUNT, (namespace.account, namespace.region)).fetchone()[0])

    def code_size(self, namespace: Namespace) -> int:
        """The bytes of the zips of all versions; kept as a sum, so that it costs the same however many there are."""
        row = self._connection.execute(CODE_SIZE, (namespace.account, namespace.region)).fetchone()
        return 0 if row is None else int(row[0])

    def version(self, namespace: Namespace, name: str, version: str) -> FunctionVersion | None:
        """version: `$LATEST` or a number in digits; anything else is not found."""
        number = version_number(version)
        if number is None:
            return None
        row = self._connection.execute(GET_VERSION, (*_key(namespace, name), number)).fetchone()
        return None if row is None else decode(FunctionVersion, row[0])

    def put_version(self, version: FunctionVersion) -> None:
        number = version_number(version.version)
        key = _key(version.namespace, version.name)
        before = self._size_of(version.namespace, version.name, number)
        self._connection.execute(PUT_VERSION, (*key, number, version.package.size, encode(version)))
        self._add_code_size(version.namespace, version.package.size - before)
        self._changes.append(VersionChanged(version))

    def remove_version(self, version: FunctionVersion) -> None:
        number = version_number(version.version)
        self._add_code_size(version.namespace, -self._size_of(version.namespace, version.name, number))
        self._connection.execute(DELETE_VERSION, (*_key(version.namespace, version.name), number))
        self._changes.append(VersionRemoved(version.namespace, version.name, version.version))

    def _size_of(self, namespace: Namespace, name: str, number: int | None) -> int:
        row = self._connection.execute(SIZE_OF_VERSION, (*_key(namespace, name), number)).fetchone()
        return 0 if row is None else int(row[0])

    def _add_code_size(self, namespace: Namespace, change: int) -> None:
        if change:
            self._connection.execute(ADD_CODE_SIZE, (namespace.account, namespace.region, change))

    def last_published(self, namespace: Namespace, name: str) -> FunctionVersion | None:
        row = self._connection.execute(LAST_PUBLISHED, _key(namespace, name)).fetchone()
        return None if row is None else decode(FunctionVersion, row[0])

    def versions(self, namespace: Namespace, name: str, start: int, limit: int) -> list[FunctionVersion]:
        """Ascending from number `start`; `$LATEST` is number 0."""
        rows = self._connection.execute(PAGE_OF_VERSIONS, (*_key(namespace, name), start, limit))
        return [decode(FunctionVersion, document) for (document,) in rows]

    def latest_versions(self, namespace: Namespace, start: str, limit: int) -> list[FunctionVersion]:
        """The `$LATEST` of every function, by name from `start` on."""
        rows = self._connection.execute(PAGE_OF_LATEST, (namespace.account, namespace.region, start, limit))
        return [decode(FunctionVersion, document) for (document,) in rows]

    def namespace_versions(self, namespace: Namespace, name: str, number: int, limit: int) -> list[FunctionVersion]:
        """Every version of every function, by name and number, from (name, number) on."""
        key = (namespace.account, namespace.region, name, name, number, limit)
        return [decode(FunctionVersion, document) for (document,) in self._connection.execute(PAGE_OF_ALL, key)]

    def version_documents(self) -> Iterator[tuple[Namespace, str, str, str]]:
        """Every version as text: namespace, function, version, what `decode` makes a FunctionVersion of."""
        spaces: dict[tuple[str, str], Namespace] = {}
        for account, region, name, number, document in self._connection.execute(VERSION_DOCUMENTS):
            namespace = spaces.setdefault((account, region), Namespace(account, region))
            yield namespace, name, str(number) if number else LATEST, document

    def maybe_changing(self) -> Iterator[FunctionVersion]:
        """Every version that is Pending or being updated, and perhaps some more; few, of however many there are."""
        return (decode(FunctionVersion, document) for (document,) in self._connection.execute(CHANGING))

    def all_versions(self) -> Iterator[FunctionVersion]:
        return (decode(FunctionVersion, document) for (document,) in self._connection.execute(ALL_VERSIONS))


def version_number(version: str) -> int | None:
    """0 for `$LATEST`, None for what is not a version."""
    if version == LATEST:
        return 0
    return int(version) if version.isascii() and version.isdecimal() and 0 < len(version) < 19 else None


def _key(namespace: Namespace, name: str) -> tuple[str, str, str]:
    return (namespace.account, namespace.region, name)
