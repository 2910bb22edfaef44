"""The table `tags`: key and value pairs on the ARN of a resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from lambdad.model.arn import Namespace
from lambdad.store.changes import Change, TagsChanged
from lambdad.store.sql import Connection

GET = "SELECT tag, content FROM tags WHERE account = ? AND region = ? AND resource = ? ORDER BY tag"
PUT = """
    INSERT INTO tags (account, region, resource, tag, content) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (account, region, resource, tag) DO UPDATE SET content = excluded.content
"""
ALL = "SELECT resource, tag, content FROM tags ORDER BY resource, tag"
DELETE = "DELETE FROM tags WHERE account = ? AND region = ? AND resource = ? AND tag = ?"
DELETE_ALL = "DELETE FROM tags WHERE account = ? AND region = ? AND resource = ?"


class Tags:
    """Reads and writes inside one transaction; every write is noted in `changes`. resource: an ARN."""

    def __init__(self, connection: Connection, changes: list[Change]) -> None:
        self._connection = connection
        self._changes = changes

    def all(self) -> Iterator[TagsChanged]:
        """Of every resource that has some, in all namespaces."""
        for resource, rows in groupby(self._connection.execute(ALL), lambda row: str(row[0])):
            yield TagsChanged(resource, {tag: content for _, tag, content in rows})

    def get(self, namespace: Namespace, resource: str) -> dict[str, str]:
        """By key; empty when there are none."""
        return dict(self._connection.execute(GET, (namespace.account, namespace.region, resource)))

    def put(self, namespace: Namespace, resource: str, tags: Mapping[str, str]) -> None:
        """Add or replace; other tags stay."""
        if not tags:
            return
        for tag, content in tags.items():
            self._connection.execute(PUT, (namespace.account, namespace.region, resource, tag, content))
        self._note(namespace, resource)

    def remove(self, namespace: Namespace, resource: str, tags: Iterable[str]) -> None:
        for tag in tags:
            self._connection.execute(DELETE, (namespace.account, namespace.region, resource, tag))
        self._note(namespace, resource)

    def remove_all(self, namespace: Namespace, resource: str) -> None:
        self._connection.execute(DELETE_ALL, (namespace.account, namespace.region, resource))
        self._note(namespace, resource)

    def _note(self, namespace: Namespace, resource: str) -> None:
        self._changes.append(TagsChanged(resource, self.get(namespace, resource)))
