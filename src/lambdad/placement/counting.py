"""How many run: limits of accounts and functions, and who may be added. Pure; `now` is monotonic seconds.

Theory of operation. A request is counted from its acceptance to its settlement, with its function and with its account
(one account in one region). Three kinds of room, in AWS's order: a *provisioned* environment that is ready; the
function's own *reservation*; what all reservations leave, *unreserved*. Provisioned environments are taken out of the
room that they stand in: of a function with a reservation out of that, of any other out of the unreserved.

    account limit = sum of reservations + unreserved
    a reservation, the unreserved room = provisioned environments that are ready + room on demand

Two rates besides: synchronous requests, ten a second for each unit of concurrency, and new environments of one
function. Invariants: no count is negative; nothing is added where the count has reached its limit.
Source: "Understanding Lambda function scaling", AWS Lambda Developer Guide; reference/aws-lambda.md 2.3 and 2.5.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from lambdad.model.limits import CONCURRENCY_DEFAULT

Held = TypeVar("Held")

ACCOUNT_FULL = "ConcurrentInvocationLimitExceeded"
RESERVATION_FULL = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT_TOO_FAST = "CallerRateLimitExceeded"
RESERVATION_TOO_FAST = "ReservedFunctionInvocationRateLimitExceeded"
SCALING_TOO_FAST = "FunctionInvocationRateLimitExceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may have, and how long a request waits for room. The defaults are AWS's, but for the wait.

    concurrency: executions at once of an account in one region.
    request_rate: synchronous requests a second for each unit of concurrency; 0 for no such limit.
    scale_up: new environments of one function in `scale_window` seconds; 0 for no such limit.
    patience: seconds that a synchronous request waits for room before it is throttled, up to five times that in a
    crowd. held_max: requests of one function that wait so.
    """

    concurrency: int = CONCURRENCY_DEFAULT
    request_rate: int = 10
    scale_up: int = 1_000
    scale_window: float = 10.0
    patience: float = 0.05
    held_max: int = 100


class TokenBucket:
    """So many a second, and at most `capacity` at once; full at first. rate 0: no limit."""

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Take one, if one is there."""
        if self.rate <= 0:
            return True
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
            self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Charge(Enum):
    """What an accepted request is counted against."""

    PROVISIONED_RESERVED = "provisioned, of a function with a reservation"
    PROVISIONED_UNRESERVED = "provisioned, of a function without one"
    RESERVED = "reserved"
    UNRESERVED = "unreserved"


class AccountCount(Generic[Held]):
    """One account in one region.

    reserved: sum of the reservations. in_flight: all requests; unreserved: those of functions without a reservation;
    on_demand: those of them that have no provisioned environment. ready: provisioned environments of such functions.
    crowded: functions with requests that wait for room, the next one to be served first.
    """

    __slots__ = ("crowded", "in_flight", "limit", "on_demand", "ready", "requests", "reserved", "unreserved")

    def __init__(self, limits: Limits) -> None:
        self.limit = limits.concurrency
        self.reserved = 0
        self.in_flight = 0
        self.unreserved = 0
        self.on_demand = 0
        self.ready = 0
        rate = limits.request_rate * limits.concurrency
        self.requests = TokenBucket(rate, rate)
        self.crowded: dict[FunctionCount[Held], None] = {}


class FunctionCount(Generic[Held]):
    """One function, all versions.

    reserved: None without a reservation. in_flight: its requests; on_demand: those without a provisioned environment.
    ready: its provisioned environments that can take requests. held: requests that wait for room, oldest first.
    pools: how many pools of environments count here.
    """

    __slots__ = (
        "account",
        "held",
        "in_flight",
        "key",
        "on_demand",
        "pools",
        "ready",
        "requests",
        "reserved",
        "scaling",
    )

    def __init__(self, account: AccountCount[Held], key: str, limits: Limits) -> None:
        self.account = account
        self.key = key
        self.pools = 0
        self.reserved: int | None = None
        self.in_flight = 0
        self.on_demand = 0
        self.ready = 0
        self.requests = TokenBucket(0, 0)
        self.scaling = TokenBucket(limits.scale_up / limits.scale_window, limits.scale_up)
        self.held: deque[Held] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether it can be forgotten."""
        return not (self.pools or self.in_flight or self.held or self.ready) and self.reserved is None

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    # -- what was configured

    def reserve(self, amount: int | None, request_rate: int) -> None:
        """Set or remove the reservation; requests in flight stay counted as they are."""
        account = self.account
        if self.reserved is None:
            account.ready -= self.ready
        account.reserved += (amount or 0) - (self.reserved or 0)
        self.reserved = amount
        if amount is None:
            account.ready += self.ready
        else:
            self.requests = TokenBucket(request_rate * amount, request_rate * amount)

    def add_ready(self, change: int) -> None:
        """So many provisioned environments became ready (or, negative, ended)."""
        self.ready += change
        assert self.ready >= 0, self.key
        if self.reserved is None:
            self.account.ready += change

    # -- who may be added

    def check_rate(self, now: float) -> str | None:
        """Take the right to one more synchronous request now; the reason to throttle it, None if there is none."""
        if self.reserved is None:
            return None if self.account.requests.take(now) else ACCOUNT_TOO_FAST
        return None if self.requests.take(now) else RESERVATION_TOO_FAST

    def check_room(self) -> str | None:
        """Why the function can have no more requests in flight at all, None if it can."""
        account = self.account
        if self.reserved is not None:
            if self.in_flight >= self.reserved:
                return RESERVATION_FULL
        elif account.unreserved >= account.limit - account.reserved:
            return ACCOUNT_FULL
        return ACCOUNT_FULL if account.in_flight >= account.limit else None

    def check_on_demand(self) -> str | None:
        """As `check_room`, for one more request without a provisioned environment."""
        account = self.account
        if self.reserved is not None:
            if self.on_demand >= self.reserved - self.ready:
                return RESERVATION_FULL
        elif account.on_demand >= account.limit - account.reserved - account.ready:
            return ACCOUNT_FULL
        return self.check_room()

    # -- counting

    def add_provisioned(self) -> Charge:
        self.in_flight += 1
        self.account.in_flight += 1
        if self.reserved is not None:
            return Charge.PROVISIONED_RESERVED
        self.account.unreserved += 1
        return Charge.PROVISIONED_UNRESERVED

    def add_on_demand(self) -> Charge:
        self.in_flight += 1
        self.on_demand += 1
        self.account.in_flight += 1
        if self.reserved is not None:
            return Charge.RESERVED
        self.account.unreserved += 1
        self.account.on_demand += 1
        return Charge.UNRESERVED

    def remove(self, charge: Charge) -> None:
        """One request is settled."""
        account = self.account
        self.in_flight -= 1
        account.in_flight -= 1
        if charge in _ON_DEMAND:
            self.on_demand -= 1
        if charge in _UNRESERVED:
            account.unreserved -= 1
            if charge is Charge.UNRESERVED:
                account.on_demand -= 1
        assert 0 <= self.on_demand <= self.in_flight, self.key
        assert 0 <= account.on_demand <= account.unreserved <= account.in_flight, self.key

    def move_on_demand(self, charge: Charge) -> Charge:
        """The provisioned environment of a request ended before the request began: count it as on demand."""
        self.on_demand += 1
        if charge is Charge.PROVISIONED_RESERVED:
            return Charge.RESERVED
        self.account.on_demand += 1
        return Charge.UNRESERVED


_ON_DEMAND = (Charge.RESERVED, Charge.UNRESERVED)
_UNRESERVED = (Charge.PROVISIONED_UNRESERVED, Charge.UNRESERVED)
