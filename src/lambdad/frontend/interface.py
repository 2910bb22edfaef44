"""What the ways to call a function now need of the rest of a node, as protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.wire.http import Response


class Resolver(Protocol):
    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        """`name` in any form that AWS takes. `draw` in [0, 1) chooses between the versions of an alias.
        Raises `ApiError`.
        """
        ...


class Runner(Protocol):
    def submit(self, ticket: Ticket) -> None: ...


class Acceptor(Protocol):
    """Takes events for later."""

    def accept(self, target: Target, invocation: Invocation, done: AcceptDone) -> None:
        """Put an event on disk; `done` is called once, when it is there or cannot be. Raises `ApiError` if full."""
        ...


class AcceptDone(Protocol):
    def __call__(self, error: ApiError | None, /) -> None: ...


class Observer(Protocol):
    """Hears of each finished invocation, for metrics. timings: milliseconds by phase."""

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None: ...

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None: ...


class ErrorWriter(Protocol):
    def __call__(self, error: ApiError, request_id: str) -> Response: ...
