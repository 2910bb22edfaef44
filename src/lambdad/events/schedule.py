"""Whose messages are worked on next: pure, without a clock.

Theory of operation. A scope (a function, a target) is ready when one of its messages is due. Free places go one by one
to the ready scope that has the fewest under way, so a backlog of a million takes what the others leave and no more.
Each scope has a window: how many of it may be under way at once. A refusal (a throttle, a target that is down) halves
it, a success widens it by one; so a function without capacity is asked seldom, and gently more often.
Invariant, see `validate`: what is under way is never negative, never more than the limits, and sums up.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Messages under way at once, of one scope and of all."""

    per_scope: int = 50
    total: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.per_scope <= self.total:
            raise ValueError(f"limits must be at least 1, and those of a scope within the total: {self}")


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to lease up to `count` messages of a scope. They count as under way from now on."""

    scope: str
    count: int


class Schedule:
    """What is due and under way in one lane."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._due: dict[str, float] = {}
        self._running: dict[str, int] = {}
        self._windows: dict[str, int] = {}
        """Of scopes that were refused lately; all others have the limit."""
        self._total = 0

    @property
    def running(self) -> int:
        return self._total

    def running_of(self, scope: str) -> int:
        return self._running.get(scope, 0)

    def window(self, scope: str) -> int:
        return self._windows.get(scope, self._limits.per_scope)

    def note(self, scope: str, due: float) -> None:
        """A message of the scope will be due then."""
        self._due[scope] = min(due, self._due.get(scope, due))

    def grant(self, now: float) -> list[Grant]:
        """Share out the free places. For each grant `leased` must be called."""
        free = self._limits.total - self._total
        heap = [
            (self.running_of(scope), due, scope)
            for scope, due in self._due.items()
            if due <= now and self.running_of(scope) < self.window(scope)
        ]
        heapq.heapify(heap)
        granted: dict[str, int] = {}
        while heap and free > 0:
            count, due, scope = heapq.heappop(heap)
            granted[scope] = granted.get(scope, 0) + 1
            free -= 1
            if count + 1 < self.window(scope):
                heapq.heappush(heap, (count + 1, due, scope))
        for scope, count in granted.items():
            self._add(scope, count)
            del self._due[scope]  # `leased` says when the next one is due
        return [Grant(scope, count) for scope, count in granted.items()]

    def leased(self, grant: Grant, taken: int, next_due: float | None) -> None:
        """A grant was used for `taken` messages. next_due: of what is left of the scope."""
        assert 0 <= taken <= grant.count
        self._add(grant.scope, taken - grant.count)
        if next_due is not None:
            self.note(grant.scope, next_due)
        self._forget(grant.scope)

    def finished(self, scope: str, *, refused: bool) -> None:
        """A message is no longer under way."""
        window = self.window(scope)
        self._windows[scope] = max(1, window // 2) if refused else min(self._limits.per_scope, window + 1)
        self._add(scope, -1)
        self._forget(scope)

    def next_due(self) -> float | None:
        """When `grant` will have something to give; None if only `note` or `finished` can change that."""
        if self._total >= self._limits.total:
            return None
        ready = (due for scope, due in self._due.items() if self.running_of(scope) < self.window(scope))
        return min(ready, default=None)

    def validate(self) -> None:
        """Assert every invariant; for tests, after each step."""
        assert self._total == sum(self._running.values())
        assert 0 <= self._total <= self._limits.total
        assert all(0 < count <= self._limits.per_scope for count in self._running.values())
        assert all(1 <= window < self._limits.per_scope for window in self._windows.values())

    def _add(self, scope: str, count: int) -> None:
        now = self.running_of(scope) + count
        assert now >= 0, scope
        self._total += count
        if now:
            self._running[scope] = now
        else:
            self._running.pop(scope, None)

    def _forget(self, scope: str) -> None:
        """A scope without anything special leaves no trace."""
        idle = scope not in self._running and scope not in self._due
        if idle or self._windows.get(scope) == self._limits.per_scope:
            self._windows.pop(scope, None)
