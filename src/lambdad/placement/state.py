"""Who runs which invocation, as a state machine without clock or I/O.

Theory of operation. Environments are grouped in pools by `EnvironmentSpec.key`: only equal specs share. A request takes
the idle environment that was used most recently (the others may then grow old and be ended), or else asks for a new
one and waits in its pool. Whatever becomes free first serves the longest waiting request; a start that comes too late
adds an idle environment. There is never more than one start under way for each waiting request.

Concurrency is counted when a request is accepted and when it is settled: for a function with a reservation by itself,
and never above it; for all others together, and never above what the reservations leave of the account's limit.
Invariants, see `validate`: an environment is in one place; idle and waiting are never both non-empty in one pool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, throttled

ATTEMPTS_MAX = 3
"""How often a request is placed again after its environment vanished before it saw the request."""


class Demand(Protocol):
    """A request, as far as placement cares."""

    spec: EnvironmentSpec
    attempts: int
    reserved: int | None
    """The function's reserved concurrency, None without a reservation."""


@dataclass(frozen=True, slots=True)
class Assign:
    """Send the request to the environment."""

    environment: str
    demand: Demand
    cold: bool
    """Whether the environment was started since the request came."""


@dataclass(frozen=True, slots=True)
class Start:
    environment: str
    spec: EnvironmentSpec


@dataclass(frozen=True, slots=True)
class Stop:
    environment: str


@dataclass(frozen=True, slots=True)
class Reject:
    demand: Demand
    error: ApiError


Effect = Assign | Start | Stop | Reject


@dataclass(slots=True)
class _Pool:
    idle: list[str] = field(default_factory=list)
    """Most recently used last."""
    busy: dict[str, Demand] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    """Started and not used yet."""
    waiting: deque[Demand] = field(default_factory=deque)
    retired: bool = False


class PlacementState:
    """Pools, counts and queues. account_limit: concurrent executions of an account."""

    def __init__(self, account_limit: int) -> None:
        self._account_limit = account_limit
        self._pools: dict[str, _Pool] = {}
        self._homes: dict[str, str] = {}
        self._in_flight: dict[str, int] = {}
        """By scope, see `_scope`."""
        self._reserved: dict[str, int] = {}
        """What the reservations of an account take from the rest of it, by `account_scope`."""
        self._serial = 0

    # -- events

    def submit(self, demand: Demand) -> list[Effect]:
        """A request has come. Raises `ApiError` if it must be throttled."""
        self._count_in(demand)
        return self._place(demand)

    def settled(self, environment: str) -> list[Effect]:
        """The environment has answered its request and is free."""
        key = self._homes.get(environment)
        if key is None:
            return []
        pool = self._pools[key]
        demand = pool.busy.pop(environment, None)
        if demand is None:
            return []
        self._count_out(demand)
        return self._free(key, pool, environment)

    def started(self, environment: str) -> list[Effect]:
        key = self._homes.get(environment)
        if key is None:
            return []
        pool = self._pools[key]
        pool.starting.discard(environment)
        pool.fresh.add(environment)
        return self._free(key, pool, environment)

    def start_failed(self, environment: str, error: ApiError) -> list[Effect]:
        """The host could not start it: one waiting request fails with it."""
        key = self._homes.pop(environment, None)
        if key is None:
            return []
        pool = self._pools[key]
        pool.starting.discard(environment)
        effects: list[Effect] = []
        if pool.waiting and len(pool.starting) < len(pool.waiting):
            demand = pool.waiting.popleft()
            self._count_out(demand)
            effects.append(Reject(demand, error))
        self._tidy(key, pool)
        return effects

    def gone(self, environment: str) -> list[Effect]:
        """An environment that nobody used has ended; one that is in use is told by its answer."""
        key = self._homes.get(environment)
        if key is None:
            return []
        pool = self._pools[key]
        if environment in pool.busy:
            return []
        del self._homes[environment]
        if environment in pool.idle:
            pool.idle.remove(environment)
        pool.starting.discard(environment)
        pool.fresh.discard(environment)
        effects = self._start_for_waiting(key, pool)
        self._tidy(key, pool)
        return effects

    def vanished(self, environment: str) -> list[Effect]:
        """An environment ended before it saw the request that was sent to it: place the request again."""
        key = self._homes.pop(environment, None)
        if key is None:
            return []
        pool = self._pools[key]
        demand = pool.busy.pop(environment, None)
        if demand is None:
            self._tidy(key, pool)
            return []
        demand.attempts += 1
        if demand.attempts >= ATTEMPTS_MAX:
            self._count_out(demand)
            self._tidy(key, pool)
            return [Reject(demand, _lost())]
        return self._place(demand)

    def retire(self, key: str) -> list[Effect]:
        """Nobody may start on this spec any more: end what is idle now, and the rest when it is free."""
        pool = self._pools.get(key)
        if pool is None:
            return []
        effects: list[Effect] = []
        for environment in pool.idle:
            del self._homes[environment]
            effects.append(Stop(environment))
        pool.fresh.difference_update(pool.idle)
        pool.idle.clear()
        pool.retired = True
        self._tidy(key, pool)
        return effects

    def worker_lost(self, error: ApiError) -> list[Effect]:
        """All environments are gone. What was running has been answered by whoever saw the loss; what waits fails."""
        effects: list[Effect] = []
        for pool in self._pools.values():
            for demand in (*pool.busy.values(), *pool.waiting):
                self._count_out(demand)
            effects.extend(Reject(demand, error) for demand in pool.waiting)
        self._pools.clear()
        self._homes.clear()
        return effects

    def set_reservations(self, totals: Mapping[Namespace, int]) -> None:
        """What the functions of each account and region have reserved between them; replaces what was told before."""
        self._reserved = {account_scope(namespace): total for namespace, total in totals.items()}

    def keys(self) -> list[str]:
        """The specs that have environments or requests."""
        return list(self._pools)

    def in_flight(self, scope: str) -> int:
        return self._in_flight.get(scope, 0)

    def counts(self) -> dict[str, int]:
        """Environments by state, and waiting requests, for metrics."""
        totals = {"idle": 0, "busy": 0, "starting": 0, "waiting": 0}
        for pool in self._pools.values():
            totals["idle"] += len(pool.idle)
            totals["busy"] += len(pool.busy)
            totals["starting"] += len(pool.starting)
            totals["waiting"] += len(pool.waiting)
        return totals

    # -- inside

    def _place(self, demand: Demand) -> list[Effect]:
        key = demand.spec.key
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool()
        if pool.idle:
            return [self._assign(pool, pool.idle.pop(), demand)]
        pool.waiting.append(demand)
        return self._start_for_waiting(key, pool)

    def _assign(self, pool: _Pool, environment: str, demand: Demand) -> Assign:
        pool.busy[environment] = demand
        cold = environment in pool.fresh
        if cold:
            pool.fresh.discard(environment)
        return Assign(environment, demand, cold)

    def _start_for_waiting(self, key: str, pool: _Pool) -> list[Effect]:
        effects: list[Effect] = []
        while len(pool.starting) < len(pool.waiting):
            self._serial += 1
            environment = f"e{self._serial:x}"
            pool.starting.add(environment)
            self._homes[environment] = key
            effects.append(Start(environment, pool.waiting[0].spec))
        return effects

    def _free(self, key: str, pool: _Pool, environment: str) -> list[Effect]:
        if pool.waiting:
            return [self._assign(pool, environment, pool.waiting.popleft())]
        if pool.retired:
            del self._homes[environment]
            pool.fresh.discard(environment)
            self._tidy(key, pool)
            return [Stop(environment)]
        pool.idle.append(environment)
        return []

    def _tidy(self, key: str, pool: _Pool) -> None:
        if not (pool.idle or pool.busy or pool.starting or pool.waiting):
            self._pools.pop(key, None)

    def _count_in(self, demand: Demand) -> None:
        scope = _scope(demand)
        if demand.reserved is not None:
            if self.in_flight(scope) >= demand.reserved:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        elif self.in_flight(scope) >= self._account_limit - self._reserved.get(scope, 0):
            raise throttled("ConcurrentInvocationLimitExceeded")
        self._in_flight[scope] = self.in_flight(scope) + 1

    def _count_out(self, demand: Demand) -> None:
        scope = _scope(demand)
        count = self._in_flight[scope] - 1
        assert count >= 0, scope
        if count:
            self._in_flight[scope] = count
        else:
            del self._in_flight[scope]

    def validate(self) -> None:
        """Assert every invariant; for tests, after each step."""
        homes: dict[str, str] = {}
        in_flight = 0
        for key, pool in self._pools.items():
            assert not (pool.idle and pool.waiting), key
            for environment in (*pool.idle, *pool.busy, *pool.starting):
                assert environment not in homes, environment
                homes[environment] = key
            assert pool.fresh <= set(pool.idle), key
            in_flight += len(pool.busy) + len(pool.waiting)
            assert not pool.waiting or pool.starting or pool.busy, key
        assert homes == self._homes
        assert sum(self._in_flight.values()) == in_flight


def account_scope(namespace: Namespace) -> str:
    """Where executions of functions without a reservation are counted: limits are by account and region."""
    return f"{namespace.account}/{namespace.region}"


def _scope(demand: Demand) -> str:
    """Where a request is counted: with its function if that has a reservation, else with its account."""
    account = account_scope(demand.spec.namespace)
    return account if demand.reserved is None else f"{account}/{demand.spec.function_name}"


def _lost() -> ApiError:
    return ApiError(
        "ServiceException", 500, "The execution environment was lost before it took the request. Try again."
    )
