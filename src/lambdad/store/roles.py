"""The tables `roles`, `managed_policies` and `accounts_with_roles`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lambdad.model.role import ManagedPolicy, Role
from lambdad.store.codec import decode, encode
from lambdad.store.sql import Connection

GET = "SELECT document FROM roles WHERE account = ? AND name = ?"
PUT = """
    INSERT INTO roles (account, name, document) VALUES (?, ?, ?)
    ON CONFLICT (account, name) DO UPDATE SET document = excluded.document
"""
REMOVE = "DELETE FROM roles WHERE account = ? AND name = ?"
PAGE = "SELECT document FROM roles WHERE account = ? AND name > ? ORDER BY name LIMIT ?"
ALL = "SELECT document FROM roles WHERE account = ? ORDER BY name"
COUNT = "SELECT COUNT(*) FROM roles WHERE account = ?"
KEEPS = "SELECT 1 FROM accounts_with_roles WHERE account = ?"
NOTE = "INSERT INTO accounts_with_roles (account) VALUES (?) ON CONFLICT (account) DO NOTHING"

GET_POLICY = "SELECT document FROM managed_policies WHERE account = ? AND name = ?"
PUT_POLICY = """
    INSERT INTO managed_policies (account, name, document) VALUES (?, ?, ?)
    ON CONFLICT (account, name) DO UPDATE SET document = excluded.document
"""
REMOVE_POLICY = "DELETE FROM managed_policies WHERE account = ? AND name = ?"
PAGE_OF_POLICIES = "SELECT document FROM managed_policies WHERE account = ? AND name > ? ORDER BY name LIMIT ?"
COUNT_POLICIES = "SELECT COUNT(*) FROM managed_policies WHERE account = ?"


class Roles:
    """Reads and writes inside one transaction. account: 12 digits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, account: str, name: str) -> Role | None:
        row = self._connection.execute(GET, (account, name)).fetchone()
        return None if row is None else decode(Role, row[0])

    def put(self, role: Role) -> None:
        self._connection.execute(NOTE, (role.account,))
        self._connection.execute(PUT, (role.account, role.name, encode(role)))

    def remove(self, role: Role) -> None:
        self._connection.execute(REMOVE, (role.account, role.name))

    def page(self, account: str, after: str, limit: int) -> list[Role]:
        """By name. after: the last name of the page before; empty for the first."""
        return [decode(Role, text) for (text,) in self._connection.execute(PAGE, (account, after, limit))]

    def with_policy(self, account: str, arn: str) -> list[Role]:
        """The roles that a managed policy is attached to."""
        return [role for role in self._all(account) if arn in role.attached]

    def attachments(self, account: str) -> Counter[str]:
        """To how many roles each managed policy is attached, by ARN."""
        return Counter(arn for role in self._all(account) for arn in role.attached)

    def count(self, account: str) -> int:
        return int(self._connection.execute(COUNT, (account,)).fetchone()[0])

    def keeps(self, account: str) -> bool:
        """Whether the account has ever made a role."""
        return self._connection.execute(KEEPS, (account,)).fetchone() is not None

    def get_policy(self, account: str, name: str) -> ManagedPolicy | None:
        row = self._connection.execute(GET_POLICY, (account, name)).fetchone()
        return None if row is None else decode(ManagedPolicy, row[0])

    def put_policy(self, policy: ManagedPolicy) -> None:
        self._connection.execute(PUT_POLICY, (policy.account, policy.name, encode(policy)))

    def remove_policy(self, policy: ManagedPolicy) -> None:
        self._connection.execute(REMOVE_POLICY, (policy.account, policy.name))

    def policies(self, account: str, after: str, limit: int) -> list[ManagedPolicy]:
        """By name. after: the last name of the page before; empty for the first."""
        rows = self._connection.execute(PAGE_OF_POLICIES, (account, after, limit))
        return [decode(ManagedPolicy, text) for (text,) in rows]

    def count_policies(self, account: str) -> int:
        return int(self._connection.execute(COUNT_POLICIES, (account,)).fetchone()[0])

    def _all(self, account: str) -> Iterator[Role]:
        return (decode(Role, text) for (text,) in self._connection.execute(ALL, (account,)))
