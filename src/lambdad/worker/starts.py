"""Which environments are made now, and which wait. Pure; `now` is monotonic seconds.

Making an environment costs the host's processors, so only so many are made at once. Places go to the function that has
the fewest under way: a flood of one function's cold starts is a queue of that function. A function with none under way
need not wait behind others at all, up to twice the places. Whoever takes long (an init phase that waits for something)
gives its place up: it is not the processors that it needs.
"""

from __future__ import annotations

from collections import deque

PLACES = 16
"""More at once makes each of them slower and none of them earlier."""
SLOW_S = 0.5


class StartGate:
    """Functions and environments by name."""

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._running: dict[str, tuple[str, float]] = {}
        """Environment → function, and since when; the oldest first."""
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, deque[str]] = {}

    def ask(self, function: str, environment: str, now: float) -> list[str]:
        """An environment is to be made. Returns the environments to make now."""
        self._waiting.setdefault(function, deque()).append(environment)
        return self._grant(now)

    def leave(self, environment: str, now: float) -> list[str]:
        """It has been made, or cannot be, or nobody wants it any more. Returns the environments to make now."""
        self._forget(environment)
        return self._grant(now)

    def tick(self, now: float) -> list[str]:
        """Take the places of the slow ones. Returns the environments to make now."""
        for environment, (_, since) in list(self._running.items()):
            if now - since < SLOW_S:
                break
            self._forget(environment)
        return self._grant(now)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    def _grant(self, now: float) -> list[str]:
        granted: list[str] = []
        while self._waiting:
            function = min(self._waiting, key=lambda name: self._counts.get(name, 0))
            under_way = self._counts.get(function, 0)
            if len(self._running) >= self._places * (1 if under_way else 2):
                break
            queue = self._waiting.pop(function)
            environment = queue.popleft()
            if queue:
                self._waiting[function] = queue  # behind the others with as many
            self._running[environment] = (function, now)
            self._counts[function] = under_way + 1
            granted.append(environment)
        return granted

    def _forget(self, environment: str) -> None:
        running = self._running.pop(environment, None)
        if running is not None:
            function = running[0]
            self._counts[function] -= 1
            if not self._counts[function]:
                del self._counts[function]
            return
        for function, queue in self._waiting.items():
            if environment in queue:
                queue.remove(environment)
                if not queue:
                    del self._waiting[function]
                return

    def validate(self) -> None:
        """Assert every invariant; for tests, after each step."""
        counts: dict[str, int] = {}
        for function, _ in self._running.values():
            counts[function] = counts.get(function, 0) + 1
        assert counts == self._counts
        assert all(self._waiting.values())
        assert len(self._running) <= 2 * self._places
        if self._waiting:
            assert len(self._running) >= self._places
            full = len(self._running) >= 2 * self._places
            assert full or all(self._counts.get(function, 0) for function in self._waiting)
