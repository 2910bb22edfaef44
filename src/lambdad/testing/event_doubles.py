"""Asynchronous invocation without a disk, a clock or a worker: what stands for them in tests."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.resources import files
from typing import Any, TypeVar

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, function_not_found
from lambdad.model.invocation import InvocationResult
from lambdad.model.settings import InvokeConfig
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.store.database import migrate
from lambdad.store.event_queue import EventTable, Lane, Usage
from lambdad.store.event_queue_memory import MemoryEvents
from lambdad.store.event_queue_sqlite import SqliteEvents
from lambdad.testing.specs import make_target

Answer = TypeVar("Answer")


class VirtualClock:
    """Time that passes when a test says so."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class DirectQueue:
    """An `EventQueue` that works at once. error: raised by the next piece of work, once."""

    def __init__(self, table: EventTable | None = None) -> None:
        self.table: EventTable = MemoryEvents() if table is None else table
        self.error: Exception | None = None

    def submit(self, work: Callable[[EventTable], Answer]) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
            self.error = None
        else:
            future.set_result(work(self.table))
        return future


@contextmanager
def sqlite_events() -> Iterator[SqliteEvents]:
    """A table in memory, outside of any transaction."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, files("lambdad.store") / "event_migrations")
        yield SqliteEvents(connection)


class FakeFunctions:
    """Functions by name, how their events are configured, and a placement that answers when told.

    outcomes: what the next invocations bring; when there are none, tickets wait in `tickets`.
    """

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {"f": make_target()}
        self.configs: dict[str, InvokeConfig] = {}
        self.outcomes: list[InvocationResult | ApiError] = []
        self.tickets: list[Ticket] = []

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        name = name.rpartition(":function:")[2].partition(":")[0]
        if name not in self.targets:
            raise function_not_found(f"arn:{name}")
        return self.targets[name]

    def change(self, name: str, **members: Any) -> None:
        """Change what a function is. members: of `Target`."""
        self.targets[name] = replace(self.targets[name], **members)

    def settings(self, namespace: Namespace, name: str, qualifier: str) -> InvokeConfig | None:
        return self.configs.get(f"{name}:{qualifier}")

    def submit(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)
        if self.outcomes:
            outcome = self.outcomes.pop(0)
            if isinstance(outcome, ApiError) and outcome.status == 429:
                self.tickets.pop()
                raise outcome
            self.tickets.pop().settle(outcome)


class RecordingObserver:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None:
        self.heard.append(("invoked", spec.function_name, result.error))

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None:
        self.heard.append(("rejected", function, error.status))

    def event_received(self, function: str) -> None:
        self.heard.append(("received", function))

    def event_started(self, function: str, age: float) -> None:
        self.heard.append(("started", function, age))

    def event_dropped(self, function: str, reason: str) -> None:
        self.heard.append(("dropped", function, reason))

    def delivered(self, function: str, kind: str) -> None:
        self.heard.append(("delivered", function, kind))

    def delivery_failed(self, function: str, kind: str) -> None:
        self.heard.append(("delivery failed", function, kind))

    def queue_counted(self, lane: Lane, usage: Usage) -> None:
        """Too often to be told."""


def succeeded(payload: bytes = b'"ok"') -> InvocationResult:
    return InvocationResult(payload=payload, timings={"duration": 1.0})


def failed(payload: bytes = b'{"errorMessage":"no","errorType":"ValueError"}') -> InvocationResult:
    return InvocationResult(payload=payload, error="Unhandled", error_type="ValueError", timings={"duration": 1.0})
