"""For how long the idle environments of each function are kept. Pure; `now` is monotonic seconds.

A function that is called every half an hour is better kept than started each time. The pauses between the calls of a
function are counted in bins of a minute; once there are enough of them, it is kept for as long as nearly all of its
pauses were, and a little longer. Never for less than the configured time: what is in the way of others goes under
memory pressure (`eviction`), not before.
Source: Shahrad et al., "Serverless in the Wild", USENIX ATC 2020.
"""

from __future__ import annotations

SAMPLES_MIN = 20
BIN_S = 60.0
COVERED = 0.99
MARGIN = 1.1
LONGEST = 6
"""No function is kept for more than so many times the configured time."""
FUNCTIONS_MAX = 10_000


class Habit:
    """The pauses of one function."""

    __slots__ = ("_bins", "_samples", "_since")

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._samples = 0
        self._since: float | None = None

    def called(self, now: float) -> None:
        """An invocation comes, or an environment is asked for because of one."""
        if self._since is not None:
            minute = int(max(now - self._since, 0.0) // BIN_S)
            self._bins[minute] = self._bins.get(minute, 0) + 1
            self._samples += 1
            self._since = None

    def finished(self, now: float) -> None:
        """An invocation has ended."""
        self._since = now

    def keep_s(self, configured: float) -> float:
        """How long its environments are kept. configured: seconds, the least."""
        if self._samples < SAMPLES_MIN:
            return configured
        seen = 0
        for minute in sorted(self._bins):
            seen += self._bins[minute]
            if seen >= COVERED * self._samples:
                wanted = (minute + 1) * BIN_S * MARGIN
                return wanted if configured < wanted <= LONGEST * configured else configured
        return configured


class Habits:
    """Of the functions that were called last."""

    def __init__(self) -> None:
        self._habits: dict[str, Habit] = {}

    def of(self, function: str) -> Habit:
        habit = self._habits.pop(function, None) or Habit()
        self._habits[function] = habit
        if len(self._habits) > FUNCTIONS_MAX:
            del self._habits[next(iter(self._habits))]
        return habit
