"""The tables `layers` and `layer_versions`."""

from __future__ import annotations

from collections.abc import Iterator

from lambdad.model.arn import Namespace
from lambdad.model.layer import LayerVersion
from lambdad.model.settings import Policy
from lambdad.store.codec import decode, encode
from lambdad.store.sql import Connection

ALLOCATE = """
    INSERT INTO layers (account, region, name, next_version) VALUES (?, ?, ?, 2)
    ON CONFLICT (account, region, name) DO UPDATE SET next_version = layers.next_version + 1
    RETURNING next_version - 1
"""
PUT = "INSERT INTO layer_versions (account, region, layer, number, code_size, document) VALUES (?, ?, ?, ?, ?, ?)"
GET = """
    SELECT document FROM layer_versions WHERE account = ? AND region = ? AND layer = ? AND number = ?
"""
DELETE = "DELETE FROM layer_versions WHERE account = ? AND region = ? AND layer = ? AND number = ?"
OF_LAYER = """
    SELECT document FROM layer_versions WHERE account = ? AND region = ? AND layer = ? AND number <= ?
    ORDER BY number DESC
"""
OF_NAMESPACE = """
    SELECT document FROM layer_versions WHERE account = ? AND region = ? AND layer >= ? ORDER BY layer, number DESC
"""
USAGE = "SELECT COALESCE(SUM(code_size), 0) FROM layer_versions WHERE account = ? AND region = ?"
GET_POLICY = "SELECT policy FROM layer_versions WHERE account = ? AND region = ? AND layer = ? AND number = ?"
PUT_POLICY = """
    UPDATE layer_versions SET policy = ? WHERE account = ? AND region = ? AND layer = ? AND number = ?
"""
ALL = "SELECT document FROM layer_versions"


class Layers:
    """Reads and writes inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def allocate(self, namespace: Namespace, name: str) -> int:
        """The number for the next version of a layer; never given twice."""
        row = self._connection.execute(ALLOCATE, (namespace.account, namespace.region, name)).fetchone()
        return int(row[0])

    def put(self, layer: LayerVersion) -> None:
        self._connection.execute(
            PUT, (*_key(layer.namespace, layer.name, layer.version), layer.code.size, encode(layer))
        )

    def get(self, namespace: Namespace, name: str, version: int) -> LayerVersion | None:
        row = self._connection.execute(GET, _key(namespace, name, version)).fetchone()
        return None if row is None else decode(LayerVersion, row[0])

    def remove(self, namespace: Namespace, name: str, version: int) -> None:
        self._connection.execute(DELETE, _key(namespace, name, version))

    def versions(self, namespace: Namespace, name: str, start: int) -> Iterator[LayerVersion]:
        """Descending from number `start`."""
        rows = self._connection.execute(OF_LAYER, _key(namespace, name, start))
        return (decode(LayerVersion, document) for (document,) in rows)

    def of_namespace(self, namespace: Namespace, start: str) -> Iterator[LayerVersion]:
        """Every version, by layer name from `start` on, the newest of each layer first."""
        rows = self._connection.execute(OF_NAMESPACE, (namespace.account, namespace.region, start))
        return (decode(LayerVersion, document) for (document,) in rows)

    def usage(self, namespace: Namespace) -> int:
        """Bytes of the zips of all layer versions."""
        row = self._connection.execute(USAGE, (namespace.account, namespace.region)).fetchone()
        return int(row[0])

    def policy(self, namespace: Namespace, name: str, version: int) -> Policy | None:
        row = self._connection.execute(GET_POLICY, _key(namespace, name, version)).fetchone()
        return None if row is None or row[0] is None else decode(Policy, row[0])

    def put_policy(self, namespace: Namespace, name: str, version: int, policy: Policy | None) -> None:
        document = None if policy is None else encode(policy)
        self._connection.execute(PUT_POLICY, (document, *_key(namespace, name, version)))

    def all(self) -> Iterator[LayerVersion]:
        return (decode(LayerVersion, document) for (document,) in self._connection.execute(ALL))


def _key(namespace: Namespace, name: str, version: int) -> tuple[str, str, str, int]:
    return (namespace.account, namespace.region, name, version)
