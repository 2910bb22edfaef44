"""The table `function_settings`: one record per kind and qualifier of a function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from lambdad.model.arn import Namespace
from lambdad.model.settings import (
    FunctionUrl,
    InvokeConfig,
    LastUse,
    Policy,
    ProvisionedConcurrency,
    RuntimeManagement,
    Scaling,
)
from lambdad.store.changes import Change, SettingChanged
from lambdad.store.codec import decode, encode
from lambdad.store.sql import Connection

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Kind(Generic[Record]):
    """name: in the column `kind`; never changes once released."""

    name: str
    record: type[Record]


INVOKE_CONFIG = Kind("invoke-config", InvokeConfig)
URL = Kind("url", FunctionUrl)
PROVISIONED = Kind("provisioned", ProvisionedConcurrency)
RUNTIME_MANAGEMENT = Kind("runtime-management", RuntimeManagement)
SCALING = Kind("scaling", Scaling)
POLICY = Kind("policy", Policy)
USED = Kind("used", LastUse)

RECORDS: Mapping[str, type[object]] = {
    kind.name: kind.record for kind in (INVOKE_CONFIG, URL, PROVISIONED, RUNTIME_MANAGEMENT, SCALING, POLICY, USED)
}

GET = """
    SELECT document FROM function_settings
    WHERE account = ? AND region = ? AND function = ? AND kind = ? AND qualifier = ?
"""
PUT = """
    INSERT INTO function_settings (account, region, function, kind, qualifier, document) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (account, region, function, kind, qualifier) DO UPDATE SET document = excluded.document
"""
DELETE = """
    DELETE FROM function_settings
    WHERE account = ? AND region = ? AND function = ? AND kind = ? AND qualifier = ?
"""
QUALIFIERS = """
    SELECT qualifier, document FROM function_settings
    WHERE account = ? AND region = ? AND function = ? AND kind = ? ORDER BY qualifier
"""
OF_QUALIFIER = """
    SELECT kind FROM function_settings
    WHERE account = ? AND region = ? AND function = ? AND qualifier = ? ORDER BY kind
"""
OF_KIND = """
    SELECT function, qualifier, document FROM function_settings
    WHERE account = ? AND region = ? AND kind = ? ORDER BY function, qualifier
"""
ALL = "SELECT account, region, function, kind, qualifier, document FROM function_settings"


class FunctionSettings:
    """Reads and writes inside one transaction; every write is noted in `changes`."""

    def __init__(self, connection: Connection, changes: list[Change]) -> None:
        self._connection = connection
        self._changes = changes

    def get(self, kind: Kind[Record], namespace: Namespace, function: str, qualifier: str) -> Record | None:
        key = (namespace.account, namespace.region, function, kind.name, qualifier)
        row = self._connection.execute(GET, key).fetchone()
        return None if row is None else decode(kind.record, row[0])

    def put(self, kind: Kind[Record], namespace: Namespace, function: str, qualifier: str, record: Record) -> None:
        key = (namespace.account, namespace.region, function, kind.name, qualifier)
        self._connection.execute(PUT, (*key, encode(record)))
        self._changes.append(SettingChanged(namespace, function, kind.name, qualifier, record))

    def remove(self, kind: Kind[Record], namespace: Namespace, function: str, qualifier: str) -> None:
        self._remove(kind.name, namespace, function, qualifier)

    def remove_qualifier(self, namespace: Namespace, function: str, qualifier: str) -> None:
        """Everything that hangs on a version or an alias that goes away."""
        key = (namespace.account, namespace.region, function, qualifier)
        for kind in [name for (name,) in self._connection.execute(OF_QUALIFIER, key)]:
            self._remove(kind, namespace, function, qualifier)

    def of_function(self, kind: Kind[Record], namespace: Namespace, function: str) -> list[tuple[str, Record]]:
        """(qualifier, record) by qualifier."""
        rows = self._connection.execute(QUALIFIERS, (namespace.account, namespace.region, function, kind.name))
        return [(qualifier, decode(kind.record, document)) for qualifier, document in rows]

    def of_namespace(self, kind: Kind[Record], namespace: Namespace) -> list[tuple[str, str, Record]]:
        """(function, qualifier, record)."""
        rows = self._connection.execute(OF_KIND, (namespace.account, namespace.region, kind.name))
        return [(function, qualifier, decode(kind.record, document)) for function, qualifier, document in rows]

    def all(self) -> Iterator[SettingChanged]:
        for account, region, function, kind, qualifier, document in self._connection.execute(ALL):
            yield SettingChanged(Namespace(account, region), function, kind, qualifier, decode(RECORDS[kind], document))

    def _remove(self, kind: str, namespace: Namespace, function: str, qualifier: str) -> None:
        self._connection.execute(DELETE, (namespace.account, namespace.region, function, kind, qualifier))
        self._changes.append(SettingChanged(namespace, function, kind, qualifier, None))
