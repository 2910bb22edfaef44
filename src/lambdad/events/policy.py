"""What becomes of an event before and after an attempt to run it: pure, without a clock.

Function errors are retried as often as the function's configuration says, after fixed delays. Throttles and errors of
the platform cost no attempt: the event comes back with a growing delay for as long as it is not too old. The age is
looked at before each attempt, and an event never sleeps past its own end.
Source: "How Lambda handles errors and retries with asynchronous invocation", AWS Lambda Developer Guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

MAXIMUM_RETRIES = 2
MAXIMUM_AGE_S = 6 * 3600


class Condition(StrEnum):
    """How an event ended, in AWS's words."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED_CONCURRENCY = "ZeroReservedConcurrency"
    RECURSIVE_LOOP = "RecursiveLoop"
    """Ours: AWS's word for it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds; AWS's by default. retry_delays: after the first, second, ... function error; the last goes on.

    backoff_first, backoff_max: after throttles and errors of the platform, doubling.
    """

    retry_delays: tuple[float, ...] = (60.0, 120.0)
    backoff_first: float = 1.0
    backoff_max: float = 300.0

    def __post_init__(self) -> None:
        if not self.retry_delays or min(self.retry_delays) < 0 or not 0 < self.backoff_first <= self.backoff_max:
            raise ValueError(f"retry delays must not be negative, and backoff must be positive: {self}")

    @property
    def longest(self) -> float:
        """No event waits longer than this."""
        return max(*self.retry_delays, self.backoff_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a function's configuration says. maximum_age: seconds."""

    maximum_retries: int = MAXIMUM_RETRIES
    maximum_age: float = MAXIMUM_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an event has come. accepted: epoch seconds. attempts: that failed. refusals: in a row, see `Timing`."""

    accepted: float
    attempts: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class TryLater:
    """due: epoch seconds."""

    due: float
    progress: Progress


@dataclass(frozen=True, slots=True)
class GiveUp:
    condition: Condition


Decision: TypeAlias = TryLater | GiveUp


def before_attempt(progress: Progress, rules: Rules, reserved_concurrency: int | None, now: float) -> GiveUp | None:
    """Why the event must not run any more; None if it may."""
    if reserved_concurrency == 0:
        return GiveUp(Condition.ZERO_RESERVED_CONCURRENCY)
    if now >= progress.accepted + rules.maximum_age:
        return GiveUp(Condition.EVENT_AGE_EXCEEDED)
    return None


def after_function_error(progress: Progress, rules: Rules, timing: Timing, now: float) -> Decision:
    """The function ran and failed."""
    failed = progress.attempts + 1
    if failed > rules.maximum_retries:
        return GiveUp(Condition.RETRIES_EXHAUSTED)
    delay = timing.retry_delays[min(failed, len(timing.retry_delays)) - 1]
    later = Progress(accepted=progress.accepted, attempts=failed)
    return _later(later, delay, rules, now)


def after_refusal(progress: Progress, rules: Rules, timing: Timing, now: float) -> Decision:
    """The function did not run: throttled (429), or the platform failed (5xx)."""
    delay = timing.backoff_max
    if progress.refusals < 32:  # past that the power is no sensible number of seconds
        delay = min(timing.backoff_max, timing.backoff_first * 2.0**progress.refusals)
    later = Progress(accepted=progress.accepted, attempts=progress.attempts, refusals=progress.refusals + 1)
    return _later(later, delay, rules, now)


def _later(progress: Progress, delay: float, rules: Rules, now: float) -> Decision:
    end = progress.accepted + rules.maximum_age
    if now >= end:
        return GiveUp(Condition.EVENT_AGE_EXCEEDED)
    return TryLater(min(now + delay, end), progress)
