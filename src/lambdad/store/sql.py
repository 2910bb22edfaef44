"""The little of a database connection that the tables need, so that another database can stand behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Inside a transaction that somebody else began and will end. Parameters are `?`."""

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Cursor: ...
