"""The table `tags`: key and value pairs on the ARN of a resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lambdad.model.arn import Namespace
from lambdad.store.sql import Connection

GET = "SELECT tag, content FROM tags WHERE account = ? AND region = ? AND resource = ? ORDER BY tag"
PUT = """
    INSERT INTO tags (account, region, resource, tag, content) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (account, region, resource, tag) DO UPDATE SET content = excluded.content
"""
DELETE = "DELETE FROM tags WHERE account = ? AND region = ? AND resource = ? AND tag = ?"
DELETE_ALL = "DELETE FROM tags WHERE account = ? AND region = ? AND resource = ?"


class Tags:
    """Reads and writes inside one transaction. resource: an ARN."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, namespace: Namespace, resource: str) -> dict[str, str]:
        """By key; empty when there are none."""
        return dict(self._connection.execute(GET, (namespace.account, namespace.region, resource)))

    def put(self, namespace: Namespace, resource: str, tags: Mapping[str, str]) -> None:
        """Add or replace; other tags stay."""
        for tag, content in tags.items():
            self._connection.execute(PUT, (namespace.account, namespace.region, resource, tag, content))

    def remove(self, namespace: Namespace, resource: str, tags: Iterable[str]) -> None:
        for tag in tags:
            self._connection.execute(DELETE, (namespace.account, namespace.region, resource, tag))

    def remove_all(self, namespace: Namespace, resource: str) -> None:
        self._connection.execute(DELETE_ALL, (namespace.account, namespace.region, resource))
