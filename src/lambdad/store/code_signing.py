"""The table `code_signing_configs`."""

from __future__ import annotations

from lambdad.model.arn import Namespace
from lambdad.model.settings import CodeSigningConfig
from lambdad.store.codec import decode, encode
from lambdad.store.sql import Connection

GET = "SELECT document FROM code_signing_configs WHERE account = ? AND region = ? AND id = ?"
PUT = """
    INSERT INTO code_signing_configs (account, region, id, document) VALUES (?, ?, ?, ?)
    ON CONFLICT (account, region, id) DO UPDATE SET document = excluded.document
"""
DELETE = "DELETE FROM code_signing_configs WHERE account = ? AND region = ? AND id = ?"
OF_NAMESPACE = """
    SELECT document FROM code_signing_configs WHERE account = ? AND region = ? AND id >= ? ORDER BY id LIMIT ?
"""


class CodeSigningConfigs:
    """Reads and writes inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, namespace: Namespace, identity: str) -> CodeSigningConfig | None:
        row = self._connection.execute(GET, (namespace.account, namespace.region, identity)).fetchone()
        return None if row is None else decode(CodeSigningConfig, row[0])

    def put(self, namespace: Namespace, config: CodeSigningConfig) -> None:
        self._connection.execute(PUT, (namespace.account, namespace.region, config.id, encode(config)))

    def remove(self, namespace: Namespace, identity: str) -> None:
        self._connection.execute(DELETE, (namespace.account, namespace.region, identity))

    def page(self, namespace: Namespace, start: str, limit: int) -> list[CodeSigningConfig]:
        rows = self._connection.execute(OF_NAMESPACE, (namespace.account, namespace.region, start, limit))
        return [decode(CodeSigningConfig, document) for (document,) in rows]
